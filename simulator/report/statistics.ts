/** Means over seeds with 95 % intervals, and paired gains: the same seeds under two policies. */

/** Student's t for 95 %, by degrees of freedom; beyond the table the normal value. */
const T95 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228]
const Z95 = 1.96

export interface Interval {
  readonly mean: number
  /** Half of the 95 % interval; null with one value, of which none can be said. */
  readonly half: number | null
}

export function interval(values: readonly number[]): Interval {
  const n = values.length
  const mean = n === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / n
  if (n < 2) return { mean, half: null }
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1)
  return { mean, half: (T95[n - 2] ?? Z95) * Math.sqrt(variance / n) }
}

/** Relative change of `values` against `base`, seed by seed. Pairs whose base is 0 say nothing and are left out. */
export function pairedGain(values: readonly number[], base: readonly number[]): Interval {
  return interval(
    values.flatMap((value, i) => {
      const before = base[i] ?? 0
      return before === 0 ? [] : [value / before - 1]
    }),
  )
}

/**
 * The load at which `y` reaches `bound`, between the points of a sweep, interpolated in the logarithm of y. Null when it
 * is over the bound from the first point on; Infinity when it never gets there.
 */
export function knee(
  points: readonly { readonly load: number; readonly y: number }[],
  bound: number,
): number | null {
  const sorted = points.toSorted((a, b) => a.load - b.load)
  const over = sorted.findIndex(({ y }) => y > bound)
  if (over < 0) return Infinity
  const after = sorted[over]
  const before = sorted[over - 1]
  if (!before || !after) return null
  const share =
    (Math.log(bound) - Math.log(Math.max(before.y, 1e-9))) /
    (Math.log(after.y) - Math.log(Math.max(before.y, 1e-9)))
  return before.load + share * (after.load - before.load)
}
