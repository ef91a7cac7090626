/**
 * The GPU's KV blocks with vLLM V1's rules: full blocks are cached under their hash, reference counts pin them, and the
 * free queue is an LRU list out of which cached blocks can still be hit. Several blocks may hold the same hash; each
 * store and each eviction is one event. Block 0 is the null block and never leaves; here it is also the list's head.
 */
import { TIERS } from '../../core/tiers.ts'
import type { Hashes } from './kv-log.ts'

const GPU = TIERS[0].number
const UNHASHED = -1
/** No block: the null block is never cached, so its number can say so. */
export const NO_BLOCK = 0

/** The pool of one engine. Block numbers are 1 to `usable`. */
export class BlockPool<H> {
  readonly usable: number
  private readonly next: Int32Array
  private readonly previous: Int32Array
  private readonly references: Int32Array
  private readonly keys: Float64Array
  private readonly hashes: (H | undefined)[]
  /** The next block with the same hash, in the order in which they were stored. */
  private readonly twin: Int32Array
  private readonly byKey = new Map<number, number>()
  private readonly reusesUnhashedFirst: boolean
  private freeBlocks: number

  constructor(usable: number, reusesUnhashedFirst = true) {
    this.usable = usable
    this.reusesUnhashedFirst = reusesUnhashedFirst
    const size = usable + 1
    this.next = new Int32Array(size).map((_, block) => (block === usable ? 0 : block + 1))
    this.previous = new Int32Array(size).map((_, block) => (block === 0 ? usable : block - 1))
    this.references = new Int32Array(size)
    this.keys = new Float64Array(size).fill(UNHASHED)
    this.hashes = Array.from({ length: size })
    this.twin = new Int32Array(size)
    this.freeBlocks = usable
  }

  /** Blocks that no request holds, cached or not. */
  get free(): number {
    return this.freeBlocks
  }

  /** The block that was stored first of those that hold this hash, or `NO_BLOCK`. */
  find(key: number): number {
    return this.byKey.get(key) ?? NO_BLOCK
  }

  isFree(block: number): boolean {
    return (this.references[block] ?? 0) === 0
  }

  /** Pins a cached block for one more request. */
  touch(block: number): void {
    if (this.isFree(block)) this.unlink(block)
    this.references[block] = (this.references[block] ?? 0) + 1
  }

  /** Takes `count` blocks from the front of the queue, evicting what they hold. The caller has checked `free`. */
  take(count: number, into: number[], log: { removed(hash: H, tier: number): void }): void {
    if (count > this.freeBlocks) throw new Error('the pool has too few free blocks')
    for (let i = 0; i < count; i++) {
      const block = this.next[0] ?? NO_BLOCK
      this.unlink(block)
      if (this.keys[block] !== UNHASHED) {
        const hash = this.hashes[block]
        if (hash !== undefined) log.removed(hash, GPU)
        this.forget(block)
      }
      this.references[block] = 1
      into.push(block)
    }
  }

  /** Caches a full block, which the caller holds, under hash number `index` of `hashes`. */
  register(block: number, hashes: Hashes<H>, index: number): void {
    const key = hashes.key(index)
    this.keys[block] = key
    this.hashes[block] = hashes.value(index)
    this.twin[block] = NO_BLOCK
    const first = this.byKey.get(key)
    if (first === undefined) {
      this.byKey.set(key, block)
      return
    }
    let last = first
    while (this.twin[last] !== NO_BLOCK) last = this.twin[last] ?? NO_BLOCK
    this.twin[last] = block
  }

  /**
   * Gives up one reference to each block of a request, in prompt order: its last block is reused before its first, and,
   * in 0.32 but not in 0.23, blocks without a hash before all cached ones.
   */
  release(blocks: readonly number[]): void {
    let front = 0
    for (let i = blocks.length - 1; i >= 0; i--) {
      const block = blocks[i] ?? NO_BLOCK
      const references = (this.references[block] ?? 0) - 1
      this.references[block] = references
      if (references > 0) continue
      if (this.reusesUnhashedFirst && this.keys[block] === UNHASHED) {
        this.link(block, front)
        front = block
      } else {
        this.link(block, this.previous[0] ?? 0)
      }
    }
  }

  /** Forgets every hash. Refused, as by vLLM, while any block is held. The order of the queue stays. */
  reset(): boolean {
    if (this.freeBlocks !== this.usable) return false
    this.byKey.clear()
    this.keys.fill(UNHASHED)
    this.twin.fill(NO_BLOCK)
    return true
  }

  /** The hash of each cached block, one entry for each physical copy. */
  residentHashes(): H[] {
    const found: H[] = []
    for (let block = 1; block <= this.usable; block++) {
      const hash = this.hashes[block]
      if (this.keys[block] !== UNHASHED && hash !== undefined) found.push(hash)
    }
    return found
  }

  private forget(block: number): void {
    const key = this.keys[block] ?? UNHASHED
    const after = this.twin[block] ?? NO_BLOCK
    const first = this.byKey.get(key) ?? NO_BLOCK
    if (first === block) {
      if (after === NO_BLOCK) this.byKey.delete(key)
      else this.byKey.set(key, after)
    } else {
      let before = first
      while (this.twin[before] !== block) before = this.twin[before] ?? NO_BLOCK
      this.twin[before] = after
    }
    this.twin[block] = NO_BLOCK
    this.keys[block] = UNHASHED
  }

  private unlink(block: number): void {
    const before = this.previous[block] ?? 0
    const after = this.next[block] ?? 0
    this.next[before] = after
    this.previous[after] = before
    this.freeBlocks--
  }

  private link(block: number, before: number): void {
    const after = this.next[before] ?? 0
    this.next[before] = block
    this.previous[block] = before
    this.next[block] = after
    this.previous[after] = block
    this.freeBlocks++
  }
}
