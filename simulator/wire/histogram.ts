/** A Prometheus histogram: cumulative buckets, sum and count. */

export interface HistogramSnapshot {
  readonly bounds: readonly number[]
  /** Cumulative, one for each bound. */
  readonly counts: readonly number[]
  readonly count: number
  readonly sum: number
}

export class Histogram {
  private readonly bounds: readonly number[]
  private readonly counts: number[]
  private count = 0
  private sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = bounds.map(() => 0)
  }

  record(value: number): void {
    this.count++
    this.sum += value
    for (let i = this.bounds.length - 1; i >= 0 && value <= (this.bounds[i] ?? 0); i--) {
      this.counts[i] = (this.counts[i] ?? 0) + 1
    }
  }

  snapshot(): HistogramSnapshot {
    return { bounds: this.bounds, counts: [...this.counts], count: this.count, sum: this.sum }
  }
}
