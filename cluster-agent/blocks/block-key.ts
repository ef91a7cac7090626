/**
 * Our own key of a block: 64 bits chained over what the engine's prefix depends on (model, adapter, salt, block size, then
 * tokens and image ids block by block). It is no secret and no proof: a collision costs a wrong estimate, nothing else.
 */

export interface ChainRoot {
  readonly model: string
  readonly lora: string | null
  readonly salt: string | null
  readonly blockTokens: number
}

/** A key being computed; one object is used over and over. */
export class BlockKey {
  lo = 0
  hi = 0

  startChain({ model, lora, salt, blockTokens }: ChainRoot): void {
    this.lo = 0x9e3779b9 | 0
    this.hi = 0x85ebca6b | 0
    // Lengths keep ("a", "b") and ("ab", "") apart.
    for (const text of [model, lora, salt]) this.#addText(text ?? '', text === null ? -1 : text.length)
    this.#addText('', blockTokens)
  }

  addTokens(tokens: ArrayLike<number>, from: number, to: number): void {
    let { lo, hi } = this
    for (let at = from; at < to; at++) {
      const token = tokens[at] as number
      lo = Math.imul(lo ^ token, 0x85ebca6b)
      lo ^= lo >>> 15
      hi = Math.imul(hi + token, 0xc2b2ae35) ^ lo
      hi = (hi << 13) | (hi >>> 19)
    }
    this.lo = finish(lo + hi)
    this.hi = finish(hi ^ Math.imul(lo, 0x9e3779b1))
  }

  addExtra(extra: string): void {
    this.#addText(extra, extra.length)
  }

  #addText(text: string, length: number): void {
    let lo = finish(this.lo ^ length)
    let hi = finish(this.hi + length)
    for (let at = 0; at < text.length; at++) {
      const unit = text.charCodeAt(at)
      lo = Math.imul(lo ^ unit, 0x85ebca6b)
      lo ^= lo >>> 15
      hi = Math.imul(hi + unit, 0xc2b2ae35) ^ lo
      hi = (hi << 13) | (hi >>> 19)
    }
    this.lo = finish(lo + hi)
    this.hi = finish(hi ^ Math.imul(lo, 0x9e3779b1))
  }
}

/** The last mix of MurmurHash3. */
export function finish(value: number): number {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
