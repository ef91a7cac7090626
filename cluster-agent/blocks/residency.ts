/** On which tiers each block lies, for each endpoint: one bit an endpoint and tier. No counts, no hashes: only where. */
import { TIERS } from '../../core/tiers.ts'
import type { Block } from './block-table.ts'

export const ENDPOINTS_MAX = 256
const BITS = 32

/** A run of a matched prefix on one tier. */
export interface MatchRun {
  /** Number of the tier in core/tiers.ts. */
  readonly tier: number
  readonly blocks: number
}

export class Residency {
  /** Words of one block: tiers x words of endpoints. */
  readonly #words: number
  readonly #endpointWords: number
  #bits: Uint32Array

  constructor(endpoints: number) {
    if (endpoints > ENDPOINTS_MAX) throw new RangeError(`at most ${ENDPOINTS_MAX} endpoints in one index`)
    this.#endpointWords = Math.max(Math.ceil(endpoints / BITS), 1)
    this.#words = this.#endpointWords * TIERS.length
    this.#bits = new Uint32Array(this.#words * 1024)
  }

  /** True when this changed anything. */
  set(block: Block, endpoint: number, tier: number, isResident: boolean): boolean {
    const at = this.#at(block, endpoint, tier)
    if (at >= this.#bits.length) this.#grow(block)
    const before = this.#bits[at] ?? 0
    const bit = 1 << (endpoint % BITS)
    const after = (isResident ? before | bit : before & ~bit) >>> 0
    this.#bits[at] = after
    return after !== before
  }

  has(block: Block, endpoint: number, tier: number): boolean {
    return (((this.#bits[this.#at(block, endpoint, tier)] ?? 0) >>> (endpoint % BITS)) & 1) === 1
  }

  /** The nearest tier not nearer than `from` on which the block lies at the endpoint, or 0. */
  tierFrom(block: Block, endpoint: number, from: number): number {
    for (let tier = from; tier <= TIERS.length; tier++) if (this.has(block, endpoint, tier)) return tier
    return 0
  }

  /**
   * The longest contiguous prefix of `chain` at `endpoint`. Engines take the GPU's run first and load what follows from
   * farther tiers, so a run never comes back to a nearer tier.
   */
  match(chain: Int32Array, endpoint: number): MatchRun[] {
    const runs: { tier: number; blocks: number }[] = []
    let tier = 1
    for (const block of chain) {
      const found = this.tierFrom(block, endpoint, tier)
      if (found === 0) break
      const last = runs.at(-1)
      if (last && last.tier === found) last.blocks++
      else runs.push({ tier: found, blocks: 1 })
      tier = found
    }
    return runs
  }

  #at(block: Block, endpoint: number, tier: number): number {
    return block * this.#words + (tier - 1) * this.#endpointWords + Math.floor(endpoint / BITS)
  }

  #grow(block: Block): void {
    let length = this.#bits.length * 2
    while (length < (block + 1) * this.#words) length *= 2
    const bits = new Uint32Array(length)
    bits.set(this.#bits)
    this.#bits = bits
  }
}
