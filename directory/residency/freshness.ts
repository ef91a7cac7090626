/** From a block's event in its engine to its residency in this directory: a histogram of every change, in milliseconds. */
export const FRESHNESS_BOUNDS_MS = [
  10, 20, 40, 60, 80, 100, 120, 150, 200, 300, 500, 1000, 2000, 5000, 10_000, 30_000,
] as const

export class Freshness {
  readonly #counts = new Float64Array(FRESHNESS_BOUNDS_MS.length + 1)
  #total = 0

  note(ageMs: number, changes: number): void {
    let bucket = 0
    while (bucket < FRESHNESS_BOUNDS_MS.length && ageMs > (FRESHNESS_BOUNDS_MS[bucket] ?? Infinity)) bucket++
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + changes
    this.#total += changes
  }

  counts(): { atMostMs: number | null; changes: number }[] {
    return Array.from(this.#counts, (changes, bucket) => ({
      atMostMs: FRESHNESS_BOUNDS_MS[bucket] ?? null,
      changes,
    }))
  }

  /** An upper bound of the quantile; null when nothing was noted, or beyond the last bound. */
  quantileMs(share: number): number | null {
    let seen = 0
    for (const [bucket, changes] of this.#counts.entries()) {
      seen += changes
      if (this.#total > 0 && seen >= share * this.#total) return FRESHNESS_BOUNDS_MS[bucket] ?? null
    }
    return null
  }
}
