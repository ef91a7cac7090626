/**
 * The records of blocks in one typed array: 32 bytes each, and 4 of bucket heads. Found by key and parent, linked to
 * parent and children, counted by who holds them. What holds a block and when it may go is decided in block-table.ts.
 */
import { Buckets } from './buckets.ts'

const WORDS = 8
const LO = 0
const HI = 1
/** Links are a block's number plus one, so that zero is "none". */
const PARENT = 2
const NEXT = 3
const RETAINS = 4
const CHILD = 5
const SIBLING = 6
const PREVIOUS = 7
/** What a free record has for a parent. */
const FREE = -1

const CAPACITY_MIN = 1024

export class BlockRecords {
  readonly #recordsMax: number
  readonly #buckets = new Buckets()
  #words = new Int32Array(CAPACITY_MIN * WORDS)
  #free = 0
  #freeCount = 0
  #used = 0
  /** Keeps the loads of `warm` from being left out. */
  #touched = 0

  constructor(recordsMax: number) {
    this.#recordsMax = recordsMax
  }

  get size(): number {
    return this.#used - this.#freeCount
  }

  get touched(): number {
    return this.#touched
  }

  get isFull(): boolean {
    return this.#free === 0 && this.#used >= this.#recordsMax
  }

  get capacity(): number {
    return this.#words.length / WORDS
  }

  get bytes(): number {
    return this.#used * WORDS * Int32Array.BYTES_PER_ELEMENT + this.#buckets.bytes
  }

  lo(record: number): number {
    return this.#words[record * WORDS + LO] as number
  }

  hi(record: number): number {
    return this.#words[record * WORDS + HI] as number
  }

  /** These three are -1 for "none". */
  parent(record: number): number {
    return (this.#words[record * WORDS + PARENT] ?? 0) - 1
  }

  firstChild(record: number): number {
    return (this.#words[record * WORDS + CHILD] ?? 0) - 1
  }

  nextSibling(record: number): number {
    return (this.#words[record * WORDS + SIBLING] ?? 0) - 1
  }

  isFree(record: number): boolean {
    return this.#words[record * WORDS + PARENT] === FREE
  }

  retains(record: number): number {
    return this.#words[record * WORDS + RETAINS] ?? 0
  }

  setRetains(record: number, retains: number): void {
    this.#words[record * WORDS + RETAINS] = retains
  }

  /**
   * Touches what `find` and `add` of so many keys will need. The loads are independent, so the processor waits for all of
   * them at once and not for one after another: memory is what a large index costs.
   */
  warm(keys: Int32Array, count: number): void {
    const words = this.#words
    let touched = 0
    for (let i = 0; i < count; i++) {
      const first = this.#buckets.heads[this.#buckets.of(keys[i * 2] as number)] as number
      const second = first > 0 ? (words[(first - 1) * WORDS + NEXT] as number) : 0
      if (second > 0) touched ^= words[(second - 1) * WORDS] as number
    }
    for (let i = 0; i < count; i++) {
      const first = this.#buckets.upcoming(i)
      if (first > 0) touched ^= words[(first - 1) * WORDS] as number
    }
    this.#touched = touched
  }

  /** Touches so many records. */
  warmRecords(records: Int32Array, count: number): void {
    const words = this.#words
    const { heads } = this.#buckets
    let touched = 0
    for (let i = 0; i < count; i++) {
      const record = records[i] as number
      if (record >= 0) touched ^= words[record * WORDS + RETAINS] as number
    }
    // What is found in its bucket when it goes.
    for (let i = 0; i < count; i++) {
      const record = records[i] as number
      const first = record < 0 ? 0 : (heads[this.#buckets.of(words[record * WORDS] as number)] as number)
      if (first > 0) touched ^= words[(first - 1) * WORDS] as number
    }
    this.#touched = touched
  }

  find(lo: number, hi: number, parent: number): number {
    const words = this.#words
    for (let at = this.#buckets.heads[this.#buckets.of(lo)] as number; at > 0;) {
      const base = (at - 1) * WORDS
      if (words[base + LO] === lo && words[base + HI] === hi && words[base + PARENT] === parent + 1)
        return at - 1
      at = words[base + NEXT] as number
    }
    return -1
  }

  /** Must not be called when full. */
  add(lo: number, hi: number, parent: number): number {
    const record = this.#take()
    const words = this.#words
    const base = record * WORDS
    const bucket = this.#buckets.of(lo)
    words[base + LO] = lo
    words[base + HI] = hi
    words[base + PARENT] = parent + 1
    words[base + NEXT] = this.#buckets.heads[bucket] as number
    words[base + RETAINS] = 0
    words[base + CHILD] = 0
    words[base + SIBLING] = 0
    words[base + PREVIOUS] = 0
    this.#buckets.heads[bucket] = record + 1
    if (parent >= 0) {
      const first = words[parent * WORDS + CHILD] as number
      words[base + SIBLING] = first
      if (first > 0) words[(first - 1) * WORDS + PREVIOUS] = record + 1
      words[parent * WORDS + CHILD] = record + 1
    }
    const split = this.#buckets.dueSplit(this.size)
    if (split >= 0) this.#rebucket(split)
    return record
  }

  /** Takes a record out of its bucket and from among its parent's children. */
  remove(record: number): void {
    const words = this.#words
    const base = record * WORDS
    const { heads } = this.#buckets
    const bucket = this.#buckets.of(words[base + LO] as number)
    const next = words[base + NEXT] as number
    let at = heads[bucket] as number
    if (at === record + 1) heads[bucket] = next
    else {
      while (words[(at - 1) * WORDS + NEXT] !== record + 1) at = words[(at - 1) * WORDS + NEXT] as number
      words[(at - 1) * WORDS + NEXT] = next
    }
    const parent = words[base + PARENT] as number
    const sibling = words[base + SIBLING] as number
    const previous = words[base + PREVIOUS] as number
    if (sibling > 0) words[(sibling - 1) * WORDS + PREVIOUS] = previous
    if (previous > 0) words[(previous - 1) * WORDS + SIBLING] = sibling
    else if (parent > 0) words[(parent - 1) * WORDS + CHILD] = sibling
    words[base + PARENT] = FREE
    words[base + NEXT] = this.#free
    this.#free = record + 1
    this.#freeCount++
  }

  /** Writes the records from `record` up to its root, the last first. */
  walk(record: number, chain: Int32Array): void {
    const words = this.#words
    let at = record
    for (let i = chain.length - 1; i >= 0; i--) {
      chain[i] = at
      at = (words[at * WORDS + PARENT] as number) - 1
    }
  }

  depth(record: number): number {
    const words = this.#words
    let depth = 0
    for (let at = record; at >= 0; at = (words[at * WORDS + PARENT] ?? 0) - 1) depth++
    return depth
  }

  #take(): number {
    if (this.#free > 0) {
      const record = this.#free - 1
      this.#free = this.#words[record * WORDS + NEXT] as number
      this.#freeCount--
      return record
    }
    if (this.#used >= this.capacity) {
      const words = new Int32Array(this.#words.length * 2)
      words.set(this.#words)
      this.#words = words
    }
    return this.#used++
  }

  #rebucket(bucket: number): void {
    const words = this.#words
    const { heads } = this.#buckets
    let at = heads[bucket] as number
    heads[bucket] = 0
    while (at > 0) {
      const base = (at - 1) * WORDS
      const next = words[base + NEXT] as number
      const to = this.#buckets.of(words[base + LO] as number)
      words[base + NEXT] = heads[to] as number
      heads[to] = at
      at = next
    }
  }
}
