/**
 * Sets of (tier, endpoint), each kept once however many blocks lie in it: the blocks of a conversation lie together, so
 * there are far fewer sets than blocks, and a block costs two bytes whether there are 16 endpoints or 256. Sets are found
 * by content through a hash that changes by one XOR when one member comes or goes (Zobrist).
 */
import { TIERS } from '../../core/tiers.ts'
import { finish } from './block-key.ts'
import { Buckets } from './buckets.ts'

/** The number of a set. */
export type SetNumber = number
export const EMPTY_SET: SetNumber = 0
/** No set could be made: all numbers are in use. */
export const NO_SET: SetNumber = -1

/** Numbers are 16 bits wide. At 64 endpoints a set takes 48 bytes, at 256 it takes 144. */
export const SETS_MAX = 2 ** 16

const ENDPOINTS_A_WORD = 32
const SETS_MIN = 256

export class EndpointSets {
  readonly endpointWords: number
  readonly #rowWords: number
  readonly #setsMax: number
  readonly #buckets = new Buckets()
  #rows: Uint32Array
  #hashes = new Int32Array(SETS_MIN)
  #uses = new Uint32Array(SETS_MIN)
  #next = new Int32Array(SETS_MIN)
  #free: SetNumber[] = []
  #made = 1
  /** The last move: the blocks of a run make the same one. Void when a set is freed, whose number may mean another. */
  readonly #last = { from: NO_SET, to: NO_SET, endpoint: 0, tier: 0, isMember: false }

  constructor(endpoints: number, setsMax: number = SETS_MAX) {
    this.endpointWords = Math.max(Math.ceil(endpoints / ENDPOINTS_A_WORD), 1)
    this.#rowWords = this.endpointWords * TIERS.length
    this.#rows = new Uint32Array(SETS_MIN * this.#rowWords)
    this.#setsMax = Math.min(setsMax, SETS_MAX)
  }

  get size(): number {
    return this.#made - this.#free.length
  }

  get bytes(): number {
    return this.#made * (this.#rowWords + 3) * 4 + this.#buckets.bytes
  }

  /** Word `word` of the endpoints of a tier, from 1. */
  word(set: SetNumber, tier: number, word: number): number {
    return this.#rows[set * this.#rowWords + (tier - 1) * this.endpointWords + word] as number
  }

  has(set: SetNumber, endpoint: number, tier: number): boolean {
    return ((this.word(set, tier, endpoint >>> 5) >>> (endpoint & 31)) & 1) === 1
  }

  /** As `toggle`, when the last move that was made is the same one; else NO_SET. */
  repeat(set: SetNumber, endpoint: number, tier: number, isMember: boolean): SetNumber {
    const last = this.#last
    const isSame =
      last.from === set && last.endpoint === endpoint && last.tier === tier && last.isMember === isMember
    return isSame ? this.#move(set, last.to) : NO_SET
  }

  /** The set that has or lacks one member more; a block moves there from `set`. NO_SET: nothing moved. */
  toggle(set: SetNumber, endpoint: number, tier: number): SetNumber {
    const at = (tier - 1) * this.endpointWords + (endpoint >>> 5)
    const bit = (1 << (endpoint & 31)) >>> 0
    const hash = (this.#hashes[set] as number) ^ finish(Math.imul(at * 32 + (endpoint & 31) + 1, 0x9e3779b1))
    let to = this.#find(set, hash, at, bit)
    if (to === NO_SET) {
      to = this.#make(set, hash, at, bit)
      if (to === NO_SET) return NO_SET
    }
    const last = this.#last
    last.from = set
    last.to = to
    last.endpoint = endpoint
    last.tier = tier
    last.isMember = !this.has(set, endpoint, tier)
    return this.#move(set, to)
  }

  /** A block leaves a set; the last one frees it. */
  leave(set: SetNumber): void {
    if (set === EMPTY_SET) return
    const uses = (this.#uses[set] as number) - 1
    this.#uses[set] = uses
    if (uses > 0) return
    const { heads } = this.#buckets
    const bucket = this.#buckets.of(this.#hashes[set] as number)
    let at = heads[bucket] as number
    if (at === set + 1) heads[bucket] = this.#next[set] as number
    else {
      while (this.#next[at - 1] !== set + 1) at = this.#next[at - 1] as number
      this.#next[at - 1] = this.#next[set] as number
    }
    this.#free.push(set)
    this.#last.from = NO_SET
  }

  #move(from: SetNumber, to: SetNumber): SetNumber {
    if (to !== EMPTY_SET) this.#uses[to] = (this.#uses[to] as number) + 1
    this.leave(from)
    return to
  }

  #find(set: SetNumber, hash: number, at: number, bit: number): SetNumber {
    const rows = this.#rows
    const words = this.#rowWords
    if (hash === 0 && this.#isRow(EMPTY_SET, set, at, bit)) return EMPTY_SET
    for (let found = (this.#buckets.heads[this.#buckets.of(hash)] as number) - 1; found >= 0;) {
      if (
        this.#hashes[found] === hash &&
        rows[found * words + at] === ((rows[set * words + at] as number) ^ bit) >>> 0 &&
        this.#isRow(found, set, at, bit)
      )
        return found
      found = (this.#next[found] as number) - 1
    }
    return NO_SET
  }

  /** Whether `found` is `set` with one bit of word `at` turned over. */
  #isRow(found: SetNumber, set: SetNumber, at: number, bit: number): boolean {
    const rows = this.#rows
    const words = this.#rowWords
    for (let i = 0; i < words; i++) {
      const turned = i === at ? bit : 0
      if (rows[found * words + i] !== ((rows[set * words + i] as number) ^ turned) >>> 0) return false
    }
    return true
  }

  #make(set: SetNumber, hash: number, at: number, bit: number): SetNumber {
    const made = this.#free.pop() ?? (this.#made < this.#setsMax ? this.#made++ : NO_SET)
    if (made === NO_SET) return NO_SET
    if (made >= this.#hashes.length) this.#grow()
    const words = this.#rowWords
    const row = made * words
    this.#rows.copyWithin(row, set * words, (set + 1) * words)
    this.#rows[row + at] = ((this.#rows[row + at] as number) ^ bit) >>> 0
    this.#hashes[made] = hash
    this.#uses[made] = 0
    const bucket = this.#buckets.of(hash)
    this.#next[made] = this.#buckets.heads[bucket] as number
    this.#buckets.heads[bucket] = made + 1
    const split = this.#buckets.dueSplit(this.size)
    if (split >= 0) this.#rebucket(split)
    return made
  }

  #rebucket(bucket: number): void {
    const { heads } = this.#buckets
    let at = heads[bucket] as number
    heads[bucket] = 0
    while (at > 0) {
      const next = this.#next[at - 1] as number
      const to = this.#buckets.of(this.#hashes[at - 1] as number)
      this.#next[at - 1] = heads[to] as number
      heads[to] = at
      at = next
    }
  }

  #grow(): void {
    const length = this.#hashes.length * 2
    const rows = new Uint32Array(length * this.#rowWords)
    rows.set(this.#rows)
    this.#rows = rows
    const uses = new Uint32Array(length)
    uses.set(this.#uses)
    this.#uses = uses
    for (const name of ['hashes', 'next'] as const) {
      const from = name === 'hashes' ? this.#hashes : this.#next
      const to = new Int32Array(length)
      to.set(from)
      if (name === 'hashes') this.#hashes = to
      else this.#next = to
    }
  }
}
