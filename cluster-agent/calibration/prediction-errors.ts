/**
 * How far predicted milliseconds were off at one endpoint: a window of the latest attempts, summarised as plain data. Cached
 * tokens are the matter of `vitals/`.
 */
import { quantile } from './quantile.ts'

const WINDOW = 128

export interface ErrorSummary {
  readonly samples: number
  /** Of what happened to what was predicted: the middle, and how far nine in ten are off at most, as a factor. */
  readonly medianRatio: number
  readonly p90Factor: number
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
