/** Seeded numbers (mulberry32), so that a run is a function of its seed. */
export class Random {
  private state: number

  constructor(seed: number) {
    this.state = seed >>> 0
  }

  /** In [0, 1). */
  readonly next = (): number => {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let t = this.state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  /** A stream of its own: what one part draws does not shift what another does. */
  fork(name: string): Random {
    let hash = this.state ^ 0x811c9dc5
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
    return new Random(hash ^ (hash >>> 13))
  }

  /** 0 to `count - 1`. */
  int(count: number): number {
    return Math.floor(this.next() * count)
  }

  exponential(mean: number): number {
    return -Math.log(1 - this.next()) * mean
  }

  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next())
  }

  /** At least 1, rounded. */
  logNormal(median: number, sigma: number): number {
    return Math.max(Math.round(median * Math.exp(sigma * this.normal())), 1)
  }

  /** An index, each as likely as its weight. */
  weighted(weights: readonly number[]): number {
    let rest = this.next() * weights.reduce((sum, weight) => sum + weight, 0)
    for (const [index, weight] of weights.entries()) {
      rest -= weight
      if (rest < 0) return index
    }
    return weights.length - 1
  }
}
