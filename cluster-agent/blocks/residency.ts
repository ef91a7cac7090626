/**
 * On which tiers each block lies, for each endpoint: one set number a block (endpoint-sets.ts). No counts, no hashes: only
 * where. A match of a chain goes over all endpoints at once, and does work only where one block lies elsewhere than the last.
 */
import { TIERS } from '../../core/tiers.ts'
import type { Block } from './block-table.ts'
import { EMPTY_SET, EndpointSets, NO_SET, SETS_MAX, type SetNumber } from './endpoint-sets.ts'
import { TierCounts } from './tier-counts.ts'

export const ENDPOINTS_MAX = 256
const TIER_COUNT = TIERS.length

/** A run of a matched prefix on one tier. */
export interface MatchRun {
  /** Number of the tier in core/tiers.ts. */
  readonly tier: number
  readonly blocks: number
}

export class Residency {
  readonly tiers = new TierCounts()
  readonly #sets: EndpointSets
  readonly #endpoints: number
  #ofBlock = new Uint16Array(1024)
  #highest = 0
  /** Counts changes, so that a match is good until the next one. */
  #version = 0
  #matched: { chain: Int32Array; version: number } | null = null
  /** For each endpoint and tier: the block of the chain before which it ends. */
  readonly #ends: Int32Array
  /** Members that could not be entered because there were too many sets. */
  refused = 0

  constructor(endpoints: number, setsMax: number = SETS_MAX) {
    if (endpoints > ENDPOINTS_MAX) throw new RangeError(`at most ${ENDPOINTS_MAX} endpoints in one index`)
    this.#endpoints = endpoints
    this.#sets = new EndpointSets(endpoints, setsMax)
    this.#ends = new Int32Array(endpoints * TIER_COUNT)
  }

  get bytes(): number {
    return this.#highest * Uint16Array.BYTES_PER_ELEMENT + this.#sets.bytes
  }

  /** True when this changed anything. */
  set(block: Block, endpoint: number, tier: number, isResident: boolean): boolean {
    if (block >= this.#highest) this.#reach(block)
    const from = this.#ofBlock[block] as number
    let to = this.#sets.repeat(from, endpoint, tier, isResident)
    if (to === NO_SET) {
      if (this.#sets.has(from, endpoint, tier) === isResident) return false
      to = this.#sets.toggle(from, endpoint, tier)
    }
    if (to === NO_SET) {
      this.refused++
      if (isResident) return false
      // What cannot be said is forgotten: other endpoints lose the block too, nobody keeps one that is gone.
      this.#countOut(from)
      this.#sets.leave(from)
      this.#ofBlock[block] = EMPTY_SET
    } else {
      this.tiers.note(tier, isResident ? 1 : -1)
      this.#ofBlock[block] = to
    }
    this.#version++
    return true
  }

  has(block: Block, endpoint: number, tier: number): boolean {
    return this.#sets.has(this.#ofBlock[block] ?? EMPTY_SET, endpoint, tier)
  }

  isNowhere(block: Block): boolean {
    return (this.#ofBlock[block] ?? EMPTY_SET) === EMPTY_SET
  }

  /** The nearest tier not nearer than `from` on which the block lies at the endpoint, or 0. */
  tierFrom(block: Block, endpoint: number, from: number): number {
    for (let tier = from; tier <= TIER_COUNT; tier++) if (this.has(block, endpoint, tier)) return tier
    return 0
  }

  /**
   * The longest contiguous prefix of `chain` at `endpoint`, at most `blocksMax`. Engines take the GPU's run first and load
   * what follows from farther tiers, so a run never comes back to a nearer tier.
   */
  match(chain: Int32Array, endpoint: number, blocksMax: number = chain.length): MatchRun[] {
    this.#matchAll(chain)
    const runs: MatchRun[] = []
    let start = 0
    for (let tier = 1; tier <= TIER_COUNT; tier++) {
      const end = Math.min(this.#ends[endpoint * TIER_COUNT + tier - 1] ?? 0, blocksMax)
      if (end > start) runs.push({ tier, blocks: end - start })
      start = Math.max(start, end)
    }
    return runs
  }

  /** Blocks of the match of `endpoint`, whatever their tiers. */
  matchedBlocks(chain: Int32Array, endpoint: number): number {
    this.#matchAll(chain)
    return this.#ends[endpoint * TIER_COUNT + TIER_COUNT - 1] ?? 0
  }

  #matchAll(chain: Int32Array): void {
    if (this.#matched?.chain === chain && this.#matched.version === this.#version) return
    const { endpointWords } = this.#sets
    const ofBlock = this.#ofBlock
    const at = new Uint32Array(endpointWords * TIER_COUNT)
    for (let endpoint = 0; endpoint < this.#endpoints; endpoint++)
      at[endpoint >>> 5] = ((at[endpoint >>> 5] as number) | (1 << (endpoint & 31))) >>> 0
    this.#ends.fill(0)
    let last = -1
    let isAlive = true
    let index = 0
    for (; index < chain.length && isAlive; index++) {
      const set = ofBlock[chain[index] as number] ?? EMPTY_SET
      if (set === last) continue
      last = set
      isAlive = this.#step(at, set, index)
    }
    // Who is still there ends with the chain.
    for (let word = 0; word < endpointWords; word++) {
      let left = 0
      for (let tier = 1; tier <= TIER_COUNT; tier++) {
        left |= at[(tier - 1) * endpointWords + word] as number
        this.#end(left, word, tier, chain.length)
      }
    }
    this.#matched = { chain, version: this.#version }
  }

  /** Endpoints go on in their tier, move to a farther one, or end before block `index`. False when none is left. */
  #step(at: Uint32Array, set: number, index: number): boolean {
    const { endpointWords } = this.#sets
    let alive = 0
    for (let word = 0; word < endpointWords; word++) {
      let moving = 0
      for (let tier = 1; tier <= TIER_COUNT; tier++) {
        const place = (tier - 1) * endpointWords + word
        const candidates = (at[place] as number) | moving
        if (candidates === 0) continue
        const there = this.#sets.word(set, tier, word)
        at[place] = (candidates & there) >>> 0
        alive |= candidates & there
        moving = candidates & ~there
        this.#end(moving, word, tier, index)
      }
    }
    return alive !== 0
  }

  /** Writes where `tier` ends for the endpoints of some bits of a word. */
  #end(bits: number, word: number, tier: number, index: number): void {
    for (let left = bits; left !== 0; left &= left - 1) {
      const endpoint = word * 32 + 31 - Math.clz32(left & -left)
      this.#ends[endpoint * TIER_COUNT + tier - 1] = index
    }
  }

  /** Every member of the set loses the block. */
  #countOut(set: SetNumber): void {
    for (let endpoint = 0; endpoint < this.#endpoints; endpoint++)
      for (let tier = 1; tier <= TIER_COUNT; tier++)
        if (this.#sets.has(set, endpoint, tier)) this.tiers.note(tier, -1)
  }

  #reach(block: Block): void {
    this.#highest = block + 1
    if (block < this.#ofBlock.length) return
    let { length } = this.#ofBlock
    while (length <= block) length *= 2
    const ofBlock = new Uint16Array(length)
    ofBlock.set(this.#ofBlock)
    this.#ofBlock = ofBlock
  }
}
