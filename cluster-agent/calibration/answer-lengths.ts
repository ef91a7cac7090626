/** How long answers get on average, by model: what a request without a bound is taken to come to. */

const FIRST_TOKENS = 512
const WEIGHT = 0.02
const MODELS_MAX = 1024

export class AnswerLengths {
  readonly #means = new Map<string, number>()

  note(model: string, tokens: number): void {
    if (!(tokens > 0 && Number.isFinite(tokens))) return
    const mean = this.#means.get(model)
    if (mean === undefined && this.#means.size >= MODELS_MAX) return
    this.#means.set(model, (mean ?? FIRST_TOKENS) + (tokens - (mean ?? FIRST_TOKENS)) * WEIGHT)
  }

  /** `max`: the request's own bound, or null. */
  expected(model: string, max: number | null): number {
    return Math.max(Math.min(this.#means.get(model) ?? FIRST_TOKENS, max ?? Infinity), 1)
  }
}
