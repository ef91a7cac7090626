/** A set of blocks, one bit each. */
import type { Block } from './block-table.ts'

export class BlockBits {
  #words = new Uint32Array(64)

  get bytes(): number {
    return this.#words.byteLength
  }

  has(block: Block): boolean {
    return (((this.#words[block >>> 5] ?? 0) >>> (block & 31)) & 1) === 1
  }

  set(block: Block, isIn: boolean): void {
    const at = block >>> 5
    if (at >= this.#words.length) {
      if (!isIn) return
      let { length } = this.#words
      while (length <= at) length *= 2
      const words = new Uint32Array(length)
      words.set(this.#words)
      this.#words = words
    }
    const bit = 1 << (block & 31)
    const word = this.#words[at] ?? 0
    this.#words[at] = (isIn ? word | bit : word & ~bit) >>> 0
  }
}
