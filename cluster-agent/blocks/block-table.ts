/**
 * Every KV block that anybody speaks of, under our own key (block-key.ts), so the same prompt has the same blocks on every
 * endpoint, whatever the engines' own hashes are. A block is a small number; chains are parent links; a block lives while
 * someone retains it. There is a hard bound.
 */
import { extraOf } from '../events/block-identity.ts'
import type { StoredRun } from '../events/kv-event.ts'
import { BlockKey, type ChainRoot } from './block-key.ts'
import { BlockRecords } from './block-records.ts'

export type { ChainRoot } from './block-key.ts'

/** The number of a block in its table. */
export type Block = number
export const NO_BLOCK: Block = -1

/** Distinct blocks of one model: 64 endpoints with 32,000 blocks each that no two share. */
export const BLOCKS_MAX = 2 ** 21

/** Over this many new blocks that nobody retained, the callers of the oldest are taken to have failed. */
const FLOATING_MAX = 4096
/** After room could not be made, this many blocks are refused before it is tried again. */
const REFUSALS_BEFORE_RETRY = 1000

export class BlockTable {
  readonly #blocksMax: number
  readonly #makeRoom: () => void
  readonly #records: BlockRecords
  readonly #key = new BlockKey()
  /** Tips of chains that were interned and may not be retained yet. */
  readonly #floating: Block[] = []
  #refusals = 0

  /** `makeRoom` is asked to let go of what it retains when the table is full. */
  constructor(blocksMax: number = BLOCKS_MAX, makeRoom: () => void = () => undefined) {
    this.#blocksMax = blocksMax
    this.#records = new BlockRecords(blocksMax)
    this.#makeRoom = makeRoom
  }

  get size(): number {
    return this.#records.size
  }

  /** Every block's number is below this. */
  get capacity(): number {
    return this.#records.capacity
  }

  /** Memory that was ever used. */
  get bytes(): number {
    return this.#records.bytes
  }

  parent(block: Block): Block {
    return this.#records.parent(block)
  }

  firstChild(block: Block): Block {
    return this.#records.firstChild(block)
  }

  nextSibling(block: Block): Block {
    return this.#records.nextSibling(block)
  }

  /** The two halves of its key. */
  lo(block: Block): number {
    return this.#records.lo(block)
  }

  hi(block: Block): number {
    return this.#records.hi(block)
  }

  /** Position in its chain, from 1; 0 for no block. */
  depth(block: Block): number {
    return this.#records.depth(block)
  }

  /** The chain that ends in `block`, first block first. */
  chain(block: Block): Int32Array {
    const chain = new Int32Array(this.#records.depth(block))
    this.#records.walk(block, chain)
    return chain
  }

  /**
   * The block of `tokens` behind `parent`, made when it is new. The caller retains it, or one behind it, before it yields.
   * `RangeError` when the table is full.
   */
  intern(root: ChainRoot, parent: Block, tokens: ArrayLike<number>, extra: string | null): Block {
    if (parent === NO_BLOCK) this.startChain(root)
    const block = this.internNext(parent, tokens, 0, tokens.length, extra)
    if (block === NO_BLOCK) throw new RangeError(`the index holds its ${this.#blocksMax} blocks`)
    return block
  }

  /** Before `keysOf` of a chain's first blocks, or `internNext` of its first. */
  startChain(root: ChainRoot): void {
    this.#key.startChain(root)
  }

  /** As `intern`, of a part of `tokens`, without an exception: NO_BLOCK when the table is full. */
  internNext(
    parent: Block,
    tokens: ArrayLike<number>,
    from: number,
    to: number,
    extra: string | null,
  ): Block {
    this.#continue(parent)
    this.#key.addTokens(tokens, from, to)
    if (extra !== null) this.#key.addExtra(extra)
    return this.internKey(parent, this.#key.lo, this.#key.hi)
  }

  /** Keys of `count` blocks in a row behind `parent`, of `size` tokens each, as pairs of words. */
  keysOf(parent: Block, run: StoredRun, size: number, from: number, count: number, keys: Int32Array): void {
    const key = this.#key
    this.#continue(parent)
    for (let i = 0; i < count; i++) {
      const start = run.tokenFrom + (from + i) * size
      key.addTokens(run.tokens, start, start + size)
      const extra = extraOf(run, from + i)
      if (extra !== null) key.addExtra(extra)
      keys[i * 2] = key.lo
      keys[i * 2 + 1] = key.hi
    }
  }

  /** Touches what `internKey` of these keys will need. */
  warm(keys: Int32Array, count: number): void {
    this.#records.warm(keys, count)
  }

  /** Touches blocks that will be released. */
  warmBlocks(blocks: Int32Array, count: number): void {
    this.#records.warmRecords(blocks, count)
  }

  /** The block under a key, made when it is new; NO_BLOCK when the table is full. */
  internKey(parent: Block, lo: number, hi: number): Block {
    const found = this.#records.find(lo, hi, parent)
    return found >= 0 ? found : this.#add(lo, hi, parent)
  }

  #continue(parent: Block): void {
    if (parent === NO_BLOCK) return
    this.#key.lo = this.#records.lo(parent)
    this.#key.hi = this.#records.hi(parent)
  }

  retain(block: Block): void {
    this.#records.setRetains(block, this.#records.retains(block) + 1)
  }

  /** The last release frees the block and lets go of its parent. */
  release(block: Block): void {
    const records = this.#records
    for (let at = block; at !== NO_BLOCK;) {
      const retains = records.retains(at) - 1
      if (retains < 0) throw new Error('a block was released more often than retained')
      records.setRetains(at, retains)
      if (retains > 0) return
      const parent = records.parent(at)
      records.remove(at)
      at = parent
    }
  }

  /** Frees blocks that were interned and that nobody retained before yielding: the oldest `count`. */
  sweep(count = this.#floating.length): void {
    if (count === 0) return
    for (const block of this.#floating.splice(0, count)) {
      if (this.#records.isFree(block) || this.#records.retains(block) > 0) continue
      this.retain(block)
      this.release(block)
    }
  }

  #add(lo: number, hi: number, parent: Block): Block {
    // Held before room is made: nothing else may hold it.
    if (parent !== NO_BLOCK) this.retain(parent)
    if (this.#floating.length > FLOATING_MAX) this.sweep(FLOATING_MAX >> 1)
    if (this.#records.isFull && !this.#hasRoom()) {
      if (parent !== NO_BLOCK) this.#unhold(parent)
      return NO_BLOCK
    }
    const block = this.#records.add(lo, hi, parent)
    const last = this.#floating.length - 1
    if (parent !== NO_BLOCK && this.#floating[last] === parent) this.#floating[last] = block
    else this.#floating.push(block)
    return block
  }

  #hasRoom(): boolean {
    if (this.#refusals > 0) {
      this.#refusals--
      return false
    }
    this.#makeRoom()
    if (!this.#records.isFull) return true
    this.#refusals = REFUSALS_BEFORE_RETRY
    return false
  }

  /** Undoes a retain without freeing: the caller still speaks of the block. */
  #unhold(block: Block): void {
    const retains = this.#records.retains(block) - 1
    this.#records.setRetains(block, retains)
    if (retains === 0) this.#floating.push(block)
  }
}
