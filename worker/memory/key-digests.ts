/**
 * The digests of the tokens that were presented last, so that a key is hashed once and not with each of its requests. They
 * live in an isolate's memory only, which every request's token passes through.
 */

/** Of more, those that were new here longest ago are forgotten. */
export const TOKENS_MAX = 1024

export class KeyDigests {
  readonly #digestOf: (token: string) => string
  readonly #digests = new Map<string, string>()

  constructor(digestOf: (token: string) => string) {
    this.#digestOf = digestOf
  }

  of(token: string): string {
    const known = this.#digests.get(token)
    if (known !== undefined) return known
    const digest = this.#digestOf(token)
    this.#digests.set(token, digest)
    if (this.#digests.size > TOKENS_MAX) {
      const oldest = this.#digests.keys().next()
      if (!oldest.done) this.#digests.delete(oldest.value)
    }
    return digest
  }
}
