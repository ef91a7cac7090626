/**
 * Whether a prompt is worth understanding before it is routed. Usually it is not: it costs milliseconds, and what no marker
 * knows is rarely resident anywhere. Both sides are in milliseconds and learnt from what engines report.
 */

/** Weight of one request in what is learnt. */
const WEIGHT = 0.05
/** What is believed of unknown text before anything was seen: an agent that starts beside warm engines knows nothing of them. */
const SHARE_AT_START = 0.3
/** Characters a millisecond, before any were tokenised. */
const BYTES_PER_MS_AT_START = 500
/** What handing a prompt to the tokenizer's thread and back costs at least. */
const FLOOR_MS = 1
/** No request waits longer for it. */
export const INLINE_MS_MAX = 200

export class InlinePrice {
  /** Share of the unknown part of a prompt that its engine turned out to hold. */
  #missedShare: number
  #bytesPerMs = BYTES_PER_MS_AT_START

  /** `isFresh`: the ledger begins empty. */
  constructor(isFresh: boolean) {
    this.#missedShare = isFresh ? SHARE_AT_START : 0
  }

  /** A request ended: of `unknownTokens` that no marker knew, `missedTokens` were cached after all. */
  noteOutcome(unknownTokens: number, missedTokens: number): void {
    if (unknownTokens <= 0) return
    const share = Math.min(Math.max(missedTokens, 0) / unknownTokens, 1)
    this.#missedShare += (share - this.#missedShare) * WEIGHT
  }

  noteWork(bytes: number, ms: number): void {
    if (bytes <= 0 || ms <= 0) return
    this.#bytesPerMs += (bytes / ms - this.#bytesPerMs) * WEIGHT
  }

  get missedShare(): number {
    return this.#missedShare
  }

  costMs(bytes: number): number {
    return FLOOR_MS + bytes / this.#bytesPerMs
  }

  /**
   * How long a request may wait to be understood; 0: it is routed as it is. `prefillMs`: what computing its unknown part costs.
   * Of `endpoints` alike, knowing helps only when the choice would have been another.
   */
  worthMs(unknownBytes: number, prefillMs: number, endpoints: number): number {
    if (unknownBytes <= 0 || endpoints < 2) return 0
    const gainMs = this.#missedShare * prefillMs * (1 - 1 / endpoints)
    return gainMs > this.costMs(unknownBytes) ? Math.min(gainMs, INLINE_MS_MAX) : 0
  }
}
