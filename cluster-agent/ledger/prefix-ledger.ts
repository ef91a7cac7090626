/**
 * What the agent has learnt of prompts: PrefixKey of a marker -> how many tokens are surely common to all prompts with
 * that key, and the block chain under them. It knows which markers changed tier in the cluster since the last report.
 * Bounded: the least recently used markers go first.
 */
import { keyNumber } from '../../core/key-number.ts'
import { TIER_NOWHERE, TIERS } from '../../core/tiers.ts'
import type { BlockIndex } from '../blocks/block-index.ts'
import { NO_BLOCK, type Block } from '../blocks/block-table.ts'

/** About 200 bytes each. */
export const LEDGER_MARKERS_MAX = 200_000

export interface LedgerEntry {
  readonly lo: number
  readonly hi: number
  /** Tokens surely common to all prompts with this PrefixKey. */
  readonly tokens: number
  /** The deepest whole block of those tokens, or NO_BLOCK. */
  readonly block: Block
}

interface Marker extends LedgerEntry {
  /** Tier number that the directories were last told. */
  reportedTier: number
}

export interface ResidencyChange {
  readonly lo: number
  readonly hi: number
  readonly tier: number
}

export class PrefixLedger {
  readonly #index: BlockIndex
  readonly #endpoints: number
  readonly #markersMax: number
  readonly #markers = new Map<number, Marker>()
  readonly #byBlock = new Map<Block, Set<Marker>>()
  readonly #dirty = new Set<Marker>()
  /** Blocks whose loss has been followed since the last drain: what is behind them is looked at already. */
  readonly #lost = new Set<Block>()
  /** Markers that left the ledger while a directory believed them resident. */
  readonly #departed: ResidencyChange[] = []

  constructor(index: BlockIndex, endpoints: number, markersMax = LEDGER_MARKERS_MAX) {
    this.#index = index
    this.#endpoints = endpoints
    this.#markersMax = markersMax
  }

  get size(): number {
    return this.#markers.size
  }

  /** Finding a marker counts as using it. */
  find(lo: number, hi: number): LedgerEntry | null {
    const key = keyNumber(lo, hi)
    const marker = this.#markers.get(key)
    if (!marker || marker.lo !== lo || marker.hi !== hi) return null
    this.#markers.delete(key)
    this.#markers.set(key, marker)
    return marker
  }

  /** Enters what was learnt; later knowledge of the same key replaces earlier. */
  learn(entry: LedgerEntry): void {
    const key = keyNumber(entry.lo, entry.hi)
    const known = this.#markers.get(key)
    if (
      known?.lo === entry.lo &&
      known.hi === entry.hi &&
      known.block === entry.block &&
      known.tokens === entry.tokens
    ) {
      return
    }
    // What the directories were told of the key stays true of them, whatever block it means from now on.
    const isSameKey = known?.lo === entry.lo && known.hi === entry.hi
    const marker: Marker = { ...entry, reportedTier: isSameKey ? known.reportedTier : TIER_NOWHERE }
    if (entry.block !== NO_BLOCK) {
      this.#index.table.retain(entry.block)
      const markers = this.#byBlock.get(entry.block)
      if (markers) markers.add(marker)
      else this.#byBlock.set(entry.block, new Set([marker]))
    }
    this.#dirty.add(marker)
    if (known) {
      if (isSameKey) known.reportedTier = TIER_NOWHERE
      this.#forget(key, known)
    }
    this.#markers.set(key, marker)
    while (this.#markers.size > this.#markersMax) {
      const oldest = this.#markers.entries().next()
      if (oldest.done === true) break
      this.#forget(...oldest.value)
    }
  }

  /**
   * A block came to or left a tier: its markers are looked at again by the next `drainChanges`, and, when it left, those
   * of every block behind it. Engines evict leaves first, so there is rarely anything behind.
   */
  noteBlock(block: Block, isLoss: boolean): void {
    const { table } = this.#index
    const open = [block]
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      for (const marker of this.#byBlock.get(at) ?? []) this.#dirty.add(marker)
      if (!isLoss || this.#lost.has(at)) continue
      this.#lost.add(at)
      for (let child = table.firstChild(at); child !== NO_BLOCK; child = table.nextSibling(child))
        open.push(child)
    }
  }

  /** Every marker whose tier in the cluster is another one than the directories were told; at most `limit`. */
  drainChanges(limit: number): ResidencyChange[] {
    const changes = this.#departed.splice(0, limit)
    this.#lost.clear()
    for (const marker of this.#dirty) {
      if (changes.length >= limit) break
      this.#dirty.delete(marker)
      const tier = this.#tierOf(marker)
      if (tier === marker.reportedTier) continue
      marker.reportedTier = tier
      changes.push({ lo: marker.lo, hi: marker.hi, tier })
    }
    return changes
  }

  /** All markers that lie somewhere in the cluster, as the directories were told. */
  *resident(): Generator<ResidencyChange> {
    for (const { lo, hi, reportedTier } of this.#markers.values()) {
      if (reportedTier !== TIER_NOWHERE) yield { lo, hi, tier: reportedTier }
    }
  }

  /** The best endpoint's tier: that of the slowest part of the marker's chain, if all of it is there. */
  #tierOf(marker: Marker): number {
    if (marker.block === NO_BLOCK) return TIER_NOWHERE
    let best = TIERS.length + 1
    const chain = this.#index.table.chain(marker.block)
    for (let endpoint = 0; endpoint < this.#endpoints; endpoint++) {
      if (this.#index.tierFrom(marker.block, endpoint, 1) === 0) continue
      const runs = this.#index.match(chain, endpoint)
      const blocks = runs.reduce((sum, run) => sum + run.blocks, 0)
      if (blocks === chain.length) best = Math.min(best, runs.at(-1)?.tier ?? best)
    }
    return best > TIERS.length ? TIER_NOWHERE : best
  }

  #forget(key: number, marker: Marker): void {
    if (this.#markers.get(key) === marker) this.#markers.delete(key)
    this.#dirty.delete(marker)
    if (marker.reportedTier !== TIER_NOWHERE) {
      this.#departed.push({ lo: marker.lo, hi: marker.hi, tier: TIER_NOWHERE })
    }
    if (marker.block === NO_BLOCK) return
    const markers = this.#byBlock.get(marker.block)
    markers?.delete(marker)
    if (markers?.size === 0) this.#byBlock.delete(marker.block)
    this.#index.table.release(marker.block)
  }
}
