/**
 * The engines' own hashes of blocks, opaque to us, and the block that each means, with its copies on each tier. A lane is
 * one endpoint's KV group: hashes of two lanes never meet. 20 bytes an entry and 4 of bucket heads, in pages that belong
 * to one lane each, so that a lane can be gone through and forgotten without looking at others.
 */
import { hashOf, type EngineHash } from '../events/kv-event.ts'
import type { Block } from './block-table.ts'
import { finish } from './block-key.ts'
import { Buckets } from './buckets.ts'
import { LanePages, PAGE } from './lane-pages.ts'

/** The number of an entry. */
export type Entry = number
export const NO_ENTRY: Entry = -1

/** Of one model: as many as blocks twice over, for prompts that several endpoints hold. */
export const ENTRIES_MAX = 2 ** 22

const WORDS = 5
const LO = 0
const HI = 1
const BLOCK = 2
const NEXT = 3
/** Copies: eight bits a tier. */
const COPIES = 4
const COPIES_MAX = 255
const FREE = -2

export class EngineHashes {
  readonly #buckets = new Buckets()
  readonly #lanes: LanePages
  #words = new Int32Array(PAGE * WORDS)
  #count = 0
  #touched = 0

  constructor(entriesMax: number = ENTRIES_MAX) {
    this.#lanes = new LanePages(entriesMax)
  }

  get size(): number {
    return this.#count
  }

  get touched(): number {
    return this.#touched
  }

  get bytes(): number {
    return this.#lanes.size * (PAGE * WORDS + 1) * 4 + this.#buckets.bytes
  }

  /** As `BlockRecords.warm`, for hashes of a batch; gives the blocks that they seem to mean. */
  warm(lane: number, pairs: Int32Array, from: number, count: number, blocks: Int32Array): void {
    const words = this.#words
    for (let i = 0; i < count; i++) {
      const at = (from + i) * 2
      blocks[i] = this.#buckets.heads[
        this.#bucket(lane, pairs[at] as number, pairs[at + 1] as number)
      ] as number
    }
    let touched = 0
    for (let i = 0; i < count; i++) touched ^= words[((blocks[i] as number) - 1) * WORDS] ?? 0
    for (let i = 0; i < count; i++) {
      const base = ((blocks[i] as number) - 1) * WORDS
      if (base < 0) blocks[i] = -1
      else if (words[base + LO] === pairs[(from + i) * 2]) blocks[i] = words[base + BLOCK] as number
      else {
        const second = words[base + NEXT] as number
        blocks[i] = second > 0 ? (words[(second - 1) * WORDS + BLOCK] as number) : -1
      }
    }
    for (let i = 0; i < count; i++) {
      const first = this.#buckets.upcoming(i)
      if (first > 0) touched ^= words[(first - 1) * WORDS] as number
    }
    this.#touched = touched
  }

  find(lane: number, lo: number, hi: number): Entry {
    return this.#findIn(this.#bucket(lane, lo, hi), lane, lo, hi)
  }

  /** The entry of a hash; where there is none, a new one that means `block` and has no copies. NO_ENTRY at the bound. */
  enter(lane: number, lo: number, hi: number, block: Block): Entry {
    const bucket = this.#bucket(lane, lo, hi)
    const found = this.#findIn(bucket, lane, lo, hi)
    if (found !== NO_ENTRY) return found
    const entry = this.#take(lane)
    if (entry === NO_ENTRY) return NO_ENTRY
    const words = this.#words
    const base = entry * WORDS
    words[base + LO] = lo
    words[base + HI] = hi
    words[base + BLOCK] = block
    words[base + COPIES] = 0
    const { heads } = this.#buckets
    words[base + NEXT] = heads[bucket] as number
    heads[bucket] = entry + 1
    this.#count++
    const split = this.#buckets.dueSplit(this.#count)
    if (split >= 0) this.#rebucket(split)
    return entry
  }

  remove(lane: number, entry: Entry): void {
    const words = this.#words
    const base = entry * WORDS
    const bucket = this.#bucket(lane, words[base + LO] as number, words[base + HI] as number)
    const { heads } = this.#buckets
    let at = heads[bucket] as number
    if (at === entry + 1) heads[bucket] = words[base + NEXT] as number
    else {
      while (words[(at - 1) * WORDS + NEXT] !== entry + 1) at = words[(at - 1) * WORDS + NEXT] as number
      words[(at - 1) * WORDS + NEXT] = words[base + NEXT] as number
    }
    words[base + BLOCK] = FREE
    const owner = this.#lanes.get(lane)
    if (!owner) return
    words[base + NEXT] = owner.free
    owner.free = entry + 1
    owner.count--
    this.#count--
    if (owner.count === 0) this.#lanes.close(lane)
  }

  block(entry: Entry): Block {
    return this.#words[entry * WORDS + BLOCK] as number
  }

  setBlock(entry: Entry, block: Block): void {
    this.#words[entry * WORDS + BLOCK] = block
  }

  hash(entry: Entry): EngineHash {
    return hashOf(this.#words[entry * WORDS + LO] as number, this.#words[entry * WORDS + HI] as number)
  }

  copies(entry: Entry, tier: number): number {
    return ((this.#words[entry * WORDS + COPIES] as number) >>> ((tier - 1) * 8)) & COPIES_MAX
  }

  hasCopies(entry: Entry): boolean {
    return this.#words[entry * WORDS + COPIES] !== 0
  }

  addCopy(entry: Entry, tier: number): void {
    const at = entry * WORDS + COPIES
    const shift = (tier - 1) * 8
    const all = this.#words[at] as number
    if (((all >>> shift) & COPIES_MAX) < COPIES_MAX) this.#words[at] = all + (1 << shift)
  }

  /** More copies than can be counted count as the most. */
  setCopies(entry: Entry, tier: number, copies: number): void {
    const at = entry * WORDS + COPIES
    const shift = (tier - 1) * 8
    const others = (this.#words[at] as number) & ~(COPIES_MAX << shift)
    this.#words[at] = others | (Math.min(copies, COPIES_MAX) << shift)
  }

  countOf(lane: number): number {
    return this.#lanes.get(lane)?.count ?? 0
  }

  /** Entries of a lane; those that come up may be removed meanwhile. */
  *of(lane: number): Generator<Entry> {
    const owner = this.#lanes.get(lane)
    if (!owner) return
    const { pages, fresh } = owner
    for (const [index, page] of pages.entries()) {
      const end = index === pages.length - 1 ? fresh : PAGE
      for (let entry = page * PAGE; entry < page * PAGE + end; entry++)
        if (this.#words[entry * WORDS + BLOCK] !== FREE) yield entry
    }
  }

  #findIn(bucket: number, lane: number, lo: number, hi: number): Entry {
    const words = this.#words
    for (let at = (this.#buckets.heads[bucket] as number) - 1; at >= 0;) {
      const base = at * WORDS
      if (words[base + LO] === lo && words[base + HI] === hi && this.#lanes.ownerOf(at) === lane) return at
      at = (words[base + NEXT] as number) - 1
    }
    return NO_ENTRY
  }

  #bucket(lane: number, lo: number, hi: number): number {
    return this.#buckets.of(finish(lo ^ Math.imul(hi, 0x9e3779b1) ^ Math.imul(lane + 1, 0x85ebca6b)))
  }

  #take(lane: number): Entry {
    const owner = this.#lanes.open(lane)
    if (owner.free > 0) {
      const entry = owner.free - 1
      owner.free = this.#words[entry * WORDS + NEXT] as number
      owner.count++
      return entry
    }
    if (owner.fresh === PAGE) {
      const page = this.#lanes.take(lane)
      if (page < 0) {
        if (owner.count === 0) this.#lanes.close(lane)
        return NO_ENTRY
      }
      owner.pages.push(page)
      owner.fresh = 0
      if ((page + 1) * PAGE * WORDS > this.#words.length) {
        const words = new Int32Array(this.#words.length * 2)
        words.set(this.#words)
        this.#words = words
      }
    }
    owner.count++
    return (owner.pages.at(-1) as number) * PAGE + owner.fresh++
  }

  #rebucket(bucket: number): void {
    const words = this.#words
    const { heads } = this.#buckets
    let at = heads[bucket] as number
    heads[bucket] = 0
    while (at > 0) {
      const base = (at - 1) * WORDS
      const next = words[base + NEXT] as number
      const lane = this.#lanes.ownerOf(at - 1)
      const to = this.#bucket(lane, words[base + LO] as number, words[base + HI] as number)
      words[base + NEXT] = heads[to] as number
      heads[to] = at
      at = next
    }
  }
}
