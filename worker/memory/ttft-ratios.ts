/**
 * How far first tokens come from their predictions: the last ratios of measured to predicted, over all clusters of this
 * isolate. A quantile of them says when a request is late enough for a duplicate.
 */

const RATIOS_MAX = 256
/** Fewer say too little about a tail. */
const RATIOS_MIN = 32
const RATIO_UNMEASURED = 3

export class TtftRatios {
  readonly #ratios = new Float64Array(RATIOS_MAX)
  #count = 0

  /** Predictions under a millisecond say nothing. */
  record(measuredMs: number, predictedMs: number): void {
    if (!(predictedMs >= 1) || !(measuredMs >= 0)) return
    this.#ratios[this.#count % RATIOS_MAX] = measuredMs / predictedMs
    this.#count++
  }

  /** The ratio that this share of first tokens stays below, never under 1. */
  quantile(share: number): number {
    const known = Math.min(this.#count, RATIOS_MAX)
    if (known < RATIOS_MIN) return RATIO_UNMEASURED
    const sorted = this.#ratios.slice(0, known).sort()
    return Math.max(1, sorted[Math.min(known - 1, Math.floor(share * known))] ?? 1)
  }
}
