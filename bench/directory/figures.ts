/** The size of what is measured, and how figures are made. */
export const ENTRIES = 1_000_000
export const MARKERS = 64
export const CLUSTERS = 8
export const ROUNDS = 5
/** Of calls, which are short: what else the machine does comes and goes between them. */
export const CALL_ROUNDS = 45

export function timed(run: () => void): number {
  const startMs = performance.now()
  run()
  return performance.now() - startMs
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}

/** Of the ratios of what was measured in the same round: the median, and between which two figures half of them lie. */
export function pairedRatio(a: readonly number[], b: readonly number[]) {
  const ratios = a.map((value, i) => value / (b[i] ?? Infinity)).sort((x, y) => x - y)
  const at = (share: number) => round3(ratios[Math.round(share * (ratios.length - 1))] ?? 0)
  return { median: at(0.5), half: [at(0.25), at(0.75)] }
}

export function round3(value: number): number {
  return Number(value.toPrecision(3))
}
