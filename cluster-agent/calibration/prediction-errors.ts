/** How far predictions were off at one endpoint: a window of the latest requests, summarised as plain data. */
import { quantile } from './quantile.ts'

const WINDOW = 128

export interface ErrorSummary {
  readonly samples: number
  /** Of what happened to what was predicted: the middle, and how far nine in ten are off at most, as a factor. */
  readonly medianRatio: number
  readonly p90Factor: number
}

export interface CacheSummary {
  readonly samples: number
  /** Requests for which the engine said how many tokens were cached. */
  readonly reported: number
  readonly predictedTokens: number
  readonly cachedTokens: number
  /** Of those reported: how many found clearly less, and clearly more, than was predicted. */
  readonly fewer: number
  readonly more: number
}

/** Ratios, newest last. */
export class RatioWindow {
  readonly #ratios: number[] = []

  note(predictedMs: number, observedMs: number): void {
    const ratio = observedMs / predictedMs
    if (!Number.isFinite(ratio) || ratio <= 0) return
    this.#ratios.push(ratio)
    if (this.#ratios.length > WINDOW) this.#ratios.shift()
  }

  get summary(): ErrorSummary {
    return {
      samples: this.#ratios.length,
      medianRatio: quantile(this.#ratios, 0.5),
      p90Factor: Math.exp(
        quantile(
          this.#ratios.map((ratio) => Math.abs(Math.log(ratio))),
          0.9,
        ),
      ),
    }
  }
}

/** Off by more than this many tokens and this share of the prompt is off clearly: estimates round to blocks. */
const TOLERANCE_TOKENS = 64
const TOLERANCE_SHARE = 0.05

export class CacheWindow {
  readonly #rows: { predicted: number; cached: number | null; isFewer: boolean; isMore: boolean }[] = []

  /** `cached` null: the engine did not say. */
  note(predicted: number, cached: number | null, promptTokens: number): void {
    const tolerance = Math.max(TOLERANCE_TOKENS, TOLERANCE_SHARE * promptTokens)
    const gap = cached === null ? 0 : cached - predicted
    this.#rows.push({ predicted, cached, isFewer: gap < -tolerance, isMore: gap > tolerance })
    if (this.#rows.length > WINDOW) this.#rows.shift()
  }

  get summary(): CacheSummary {
    const reported = this.#rows.filter(({ cached }) => cached !== null)
    return {
      samples: this.#rows.length,
      reported: reported.length,
      predictedTokens: reported.reduce((sum, { predicted }) => sum + predicted, 0),
      cachedTokens: reported.reduce((sum, { cached }) => sum + (cached ?? 0), 0),
      fewer: reported.filter(({ isFewer }) => isFewer).length,
      more: reported.filter(({ isMore }) => isMore).length,
    }
  }
}
