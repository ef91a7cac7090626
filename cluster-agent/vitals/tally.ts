/** A histogram as plain numbers: observing costs no more than it looks like. Its wording for Prometheus is another's. */

export class Tally {
  /** Upper bounds of the buckets, rising. */
  readonly bounds: readonly number[]
  /** Observations in each bucket alone, and behind the last bound. */
  readonly #counts: Float64Array
  sum = 0
  count = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    let at = 0
    while (at < this.bounds.length && value > (this.bounds[at] ?? 0)) at++
    this.#counts[at] = (this.#counts[at] ?? 0) + 1
    this.sum += value
    this.count++
  }

  /** Observations up to each bound. */
  cumulative(): number[] {
    let total = 0
    return this.bounds.map((_, at) => (total += this.#counts[at] ?? 0))
  }
}
