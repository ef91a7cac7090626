/** The size of what is measured, and how figures are made. */
export const ENTRIES = 1_000_000
export const MARKERS = 64
export const CLUSTERS = 8
export const ROUNDS = 5

export function timed(run: () => void): number {
  const startMs = performance.now()
  run()
  return performance.now() - startMs
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}

/** The median of the ratios of what was measured in the same round. */
export function pairedRatio(a: readonly number[], b: readonly number[]): number {
  return round3(median(a.map((value, i) => value / (b[i] ?? Infinity))))
}

export function round3(value: number): number {
  return Number(value.toPrecision(3))
}
