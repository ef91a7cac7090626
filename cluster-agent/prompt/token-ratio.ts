/** Canonical prompt bytes for each token, learnt from the prompts that were tokenised. */

const INITIAL_BYTES_PER_TOKEN = 4
/** Weight of one long prompt; short ones, where the template's own tokens prevail, weigh less. The first long one sets it. */
const WEIGHT = 0.05
const FULL_WEIGHT_TOKENS = 1000

export class TokenRatio {
  #bytesPerToken = INITIAL_BYTES_PER_TOKEN
  #isSeeded = false

  get bytesPerToken(): number {
    return this.#bytesPerToken
  }

  learn(bytes: number, tokens: number): void {
    if (tokens <= 0 || bytes <= 0) return
    const ratio = bytes / tokens
    const share = Math.min(tokens / FULL_WEIGHT_TOKENS, 1)
    const weight = this.#isSeeded ? WEIGHT * share : share
    this.#isSeeded ||= share === 1
    this.#bytesPerToken += (ratio - this.#bytesPerToken) * weight
  }

  /** What an earlier run had learnt. */
  restore(bytesPerToken: number): void {
    this.#bytesPerToken = bytesPerToken
    this.#isSeeded = true
  }

  tokens(bytes: number): number {
    return Math.max(Math.round(bytes / this.#bytesPerToken), 1)
  }
}
