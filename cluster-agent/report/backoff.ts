/** When to dial again: the bound doubles with each try in vain, the delay is drawn from all of it. */
export const BACKOFF_MS = 200
export const BACKOFF_MS_MAX = 10_000

export class Backoff {
  readonly #random: () => number
  #tries = 0

  constructor(random: () => number) {
    this.#random = random
  }

  nextMs(): number {
    const boundMs = Math.min(BACKOFF_MS * 2 ** this.#tries, BACKOFF_MS_MAX)
    if (boundMs < BACKOFF_MS_MAX) this.#tries++
    return Math.ceil(this.#random() * boundMs)
  }

  /** The reason does not pass quickly: the longest wait is due. */
  expectLong(): void {
    this.#tries = Math.ceil(Math.log2(BACKOFF_MS_MAX / BACKOFF_MS))
  }

  succeed(): void {
    this.#tries = 0
  }
}
