/** How many block copies lie on each tier of all endpoints together, and how many left because an engine evicted them. */
import { TIERS } from '../../core/tiers.ts'

export class TierCounts {
  readonly #held = new Float64Array(TIERS.length + 1)
  readonly #evicted = new Float64Array(TIERS.length + 1)

  /** Blocks on the tier, once for each endpoint that holds them. */
  held(tier: number): number {
    return this.#held[tier] ?? 0
  }

  /** Of all that an engine said it removed, since the beginning. A restart or a reset of the cache evicts nothing. */
  evicted(tier: number): number {
    return this.#evicted[tier] ?? 0
  }

  note(tier: number, by: number): void {
    this.#held[tier] = this.held(tier) + by
  }

  noteEviction(tier: number): void {
    this.#evicted[tier] = this.evicted(tier) + 1
  }
}
