/** The keys of `npm run bench -- directory`, the same on both sides of the wire. */
export const BENCH_MODEL = 'bench-model'

/** Low and high half of key `index`: spread like keyed hashes. */
export function benchKey(index: number): readonly [number, number] {
  return [mix(index + 1), mix(index ^ 0x5bd1e995)]
}

function mix(value: number): number {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
