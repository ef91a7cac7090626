/**
 * Dense numbers for blocks. A prompt is a path of segments; a block belongs to the segment in which it ends, and a
 * segment's number stands for the whole path up to it, so equal numbers mean equal prefixes.
 */

/** Blocks of one segment path. */
const BLOCKS_A_PATH = 2 ** 21

export interface Segment {
  /** Number of the path that ends with this segment. */
  readonly path: number
  readonly tokens: number
}

export class BlockNames {
  readonly blockTokens: number
  private readonly numbers = new Map<number, number>()
  private paths = 0

  constructor(blockTokens: number) {
    this.blockTokens = blockTokens
  }

  /** Blocks named so far. */
  get count(): number {
    return this.numbers.size
  }

  newPath(): number {
    return this.paths++
  }

  /** The full blocks of a path of segments. */
  blocksOf(segments: readonly Segment[]): Int32Array {
    const total = segments.reduce((sum, { tokens }) => sum + tokens, 0)
    const blocks = new Int32Array(Math.floor(total / this.blockTokens))
    let at = 0
    let end = segments[0]?.tokens ?? 0
    for (let i = 0; i < blocks.length; i++) {
      const last = (i + 1) * this.blockTokens
      while (end < last) end += segments[++at]?.tokens ?? Infinity
      blocks[i] = this.number((segments[at]?.path ?? 0) * BLOCKS_A_PATH + i)
    }
    return blocks
  }

  /** Where each segment ends, in whole blocks. */
  endsOf(segments: readonly Segment[]): number[] {
    let tokens = 0
    return segments.map((segment) => {
      tokens += segment.tokens
      return Math.floor(tokens / this.blockTokens)
    })
  }

  number(key: number): number {
    const known = this.numbers.get(key)
    if (known !== undefined) return known
    const number = this.numbers.size
    this.numbers.set(key, number)
    return number
  }
}
