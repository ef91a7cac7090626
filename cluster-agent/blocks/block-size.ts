/**
 * How many tokens a block has. Engines store shorter ones too (SGLang's last page, vLLM's partial blocks of hybrid models),
 * so another size is believed only when nothing else has been stored for a while.
 */

/** Stores of one other size in a row. */
const STORES_TO_CHANGE = 64

export class BlockSize {
  #tokens = 0
  #isAssumed = true
  #other = 0
  #others = 0

  get tokens(): number {
    return this.#tokens
  }

  /** Told by an engine; events know better. */
  assume(tokens: number): void {
    if (this.#tokens === 0) this.#tokens = tokens
  }

  note(tokens: number): void {
    if (tokens === this.#tokens) {
      this.#others = 0
      this.#isAssumed = false
      return
    }
    this.#others = tokens === this.#other ? this.#others + 1 : 1
    this.#other = tokens
    if (!this.#isAssumed && this.#others < STORES_TO_CHANGE) return
    this.#tokens = tokens
    this.#isAssumed = false
    this.#others = 0
  }
}
