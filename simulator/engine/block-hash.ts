/**
 * The engine's own block hashes: 64 bits in two 32-bit lanes, chained over (parent, extra keys, tokens). They are
 * opaque to routers, as vLLM's are; BigInt appears only where an event is made, because it is slow.
 */

/** Parent of every first block. */
const NONE_HI = 0x9e3779b9
const NONE_LO = 0x7f4a7c15

/** Hashes of consecutive blocks of one token sequence. */
export class BlockHashes {
  private hi: Uint32Array
  private lo: Uint32Array
  private readonly salt: string | null
  readonly blockTokens: number
  count = 0

  constructor(blockTokens: number, salt: string | null, blocks: number) {
    this.blockTokens = blockTokens
    this.salt = salt
    this.hi = new Uint32Array(Math.max(blocks, 4))
    this.lo = new Uint32Array(Math.max(blocks, 4))
  }

  /** Hashes every full block of the first `length` tokens that is not hashed yet. */
  extend(tokens: Uint32Array, length: number): void {
    const blocks = Math.floor(length / this.blockTokens)
    if (blocks > this.hi.length) this.grow(blocks)
    while (this.count < blocks) this.push(tokens)
  }

  /** 53 of the 64 bits as a number, the key of a map: a collision among 200,000 blocks has a chance of 2e-6. */
  key(block: number): number {
    return ((this.hi[block] ?? 0) >>> 11) * 0x1_0000_0000 + (this.lo[block] ?? 0)
  }

  value(block: number): bigint {
    return (BigInt(this.hi[block] ?? 0) << 32n) | BigInt(this.lo[block] ?? 0)
  }

  private push(tokens: Uint32Array): void {
    const block = this.count
    let hi = block === 0 ? NONE_HI : (this.hi[block - 1] ?? 0)
    let lo = block === 0 ? NONE_LO : (this.lo[block - 1] ?? 0)
    if (block === 0 && this.salt !== null) {
      for (let i = 0; i < this.salt.length; i++) {
        lo = Math.imul(lo ^ this.salt.charCodeAt(i), 0x01000193)
        hi = Math.imul(hi ^ lo, 0xc2b2ae35)
      }
      hi ^= 0x5a17
    }
    const end = (block + 1) * this.blockTokens
    for (let i = block * this.blockTokens; i < end; i++) {
      lo = Math.imul(lo ^ (tokens[i] ?? 0), 0x85ebca6b)
      lo = (lo << 13) | (lo >>> 19)
      hi = (Math.imul(hi ^ lo, 0xcc9e2d51) + 0xe6546b64) | 0
      hi = (hi << 15) | (hi >>> 17)
    }
    lo = finish(lo ^ hi)
    hi = finish(hi + Math.imul(lo, 5))
    this.hi[block] = hi
    this.lo[block] = lo
    this.count++
  }

  private grow(blocks: number): void {
    const size = Math.max(blocks, this.hi.length * 2)
    const hi = new Uint32Array(size)
    const lo = new Uint32Array(size)
    hi.set(this.hi)
    lo.set(this.lo)
    this.hi = hi
    this.lo = lo
  }
}

function finish(lane: number): number {
  let h = lane
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
