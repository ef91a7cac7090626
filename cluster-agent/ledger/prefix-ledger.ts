/**
 * What the agent has learnt of prompts: PrefixKey of a marker -> how many tokens are surely common to all prompts with
 * that key, and the block chain under them. It knows which markers changed tier in the cluster since the last report.
 * Bounded: the least recently used markers go first.
 */
import { keyNumber } from '../../core/key-number.ts'
import { TIER_NOWHERE } from '../../core/tiers.ts'
import { BlockBits } from '../blocks/block-bits.ts'
import type { BlockIndex } from '../blocks/block-index.ts'
import { NO_BLOCK, type Block } from '../blocks/block-table.ts'
import { ENDPOINTS_MAX } from '../blocks/residency.ts'

/** About 200 bytes each. */
export const LEDGER_MARKERS_MAX = 200_000
/** Markers that go at once when the index needs room: what they speak of is rarely resident. */
const SHED_MARKERS = 1000
const FOLLOWED_MAX = 100_000

export interface LedgerEntry {
  readonly lo: number
  readonly hi: number
  /** Tokens surely common to all prompts with this PrefixKey. */
  readonly tokens: number
  /** The deepest whole block of those tokens, or NO_BLOCK. */
  readonly block: Block
  /** The prompt that taught it, which tells where a divided directory keeps it. */
  readonly origin?: MarkerOrigin
}

/** A marker as one of those of a prompt. */
export interface MarkerOrigin {
  readonly model: string
  readonly markers: Uint32Array
  readonly offsetBytes: number
}

interface Marker extends LedgerEntry {
  /** Tier number that the directories were last told. */
  reportedTier: number
  /** Whether they were told of several endpoints that hold it there. */
  reportedSeveral: boolean
}

export interface ResidencyChange {
  readonly lo: number
  readonly hi: number
  readonly tier: number
  /** How many endpoints hold it there, where that is known. */
  readonly copies?: number
  readonly origin?: MarkerOrigin | undefined
}

export class PrefixLedger {
  readonly #index: BlockIndex
  readonly #endpoints: number
  readonly #markersMax: number
  readonly #markers = new Map<number, Marker>()
  readonly #byBlock = new Map<Block, Set<Marker>>()
  /** Blocks with markers: most blocks that come and go have none. */
  readonly #marked = new BlockBits()
  readonly #dirty = new Set<Marker>()
  /** Blocks of endpoints that changed since the last drain: what is behind them is looked at already. */
  readonly #followed = new Set<number>()
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
    const marker: Marker = {
      ...entry,
      reportedTier: isSameKey ? known.reportedTier : TIER_NOWHERE,
      reportedSeveral: isSameKey && known.reportedSeveral,
    }
    if (entry.block !== NO_BLOCK) {
      this.#index.table.retain(entry.block)
      const markers = this.#byBlock.get(entry.block)
      if (markers) markers.add(marker)
      else {
        this.#byBlock.set(entry.block, new Set([marker]))
        this.#marked.set(entry.block, true)
      }
    }
    this.#dirty.add(marker)
    if (known) {
      if (isSameKey) known.reportedTier = TIER_NOWHERE
      this.#forget(key, known)
    }
    this.#markers.set(key, marker)
    this.#shedTo(this.#markersMax)
  }

  /** Lets the least recently used markers go, and the blocks that only they held. */
  shed(): void {
    this.#shedTo(Math.max(this.#markers.size - SHED_MARKERS, 0))
  }

  /**
   * A block came to or left a tier of an endpoint: its markers are looked at again by the next `drainChanges`, and those of
   * the blocks behind it that lie there. Engines store front to back and evict back to front, so there are rarely any.
   */
  noteBlock(block: Block, endpoint: number): void {
    const { table } = this.#index
    this.#touch(block)
    if (table.firstChild(block) === NO_BLOCK) return
    const open = [block]
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (at !== block) this.#touch(at)
      const key = at * ENDPOINTS_MAX + endpoint
      if (this.#followed.has(key)) continue
      let isFollowed = false
      for (let child = table.firstChild(at); child !== NO_BLOCK; child = table.nextSibling(child)) {
        if (this.#index.tierFrom(child, endpoint, 1) === 0) continue
        isFollowed = true
        open.push(child)
      }
      if (isFollowed) this.#followed.add(key)
      // It only saves work.
      if (this.#followed.size > FOLLOWED_MAX) this.#followed.clear()
    }
  }

  /** What is known, the least recently used first. */
  entries(): IterableIterator<LedgerEntry> {
    return this.#markers.values()
  }

  /** Every marker whose tier in the cluster is another one than the directories were told; at most `limit`. */
  drainChanges(limit: number): ResidencyChange[] {
    const changes = this.#departed.splice(0, limit)
    this.#followed.clear()
    for (const marker of this.#dirty) {
      if (changes.length >= limit) break
      this.#dirty.delete(marker)
      const { tier, endpoints } = this.#placeOf(marker)
      const isSeveral = endpoints > 1
      if (tier === marker.reportedTier && isSeveral === marker.reportedSeveral) continue
      marker.reportedTier = tier
      marker.reportedSeveral = isSeveral
      changes.push(asReported(marker))
    }
    return changes
  }

  /** All markers that lie somewhere in the cluster, as the directories were told. */
  *resident(): Generator<ResidencyChange> {
    for (const marker of this.#markers.values()) {
      if (marker.reportedTier !== TIER_NOWHERE) yield asReported(marker)
    }
  }

  /** The best endpoint's tier: that of the slowest part of the marker's chain, if all of it is there. */
  #placeOf(marker: Marker): { readonly tier: number; readonly endpoints: number } {
    const nowhere = { tier: TIER_NOWHERE, endpoints: 0 }
    if (marker.block === NO_BLOCK || this.#index.isNowhere(marker.block)) return nowhere
    let best = nowhere
    const chain = this.#index.table.chain(marker.block)
    for (let endpoint = 0; endpoint < this.#endpoints; endpoint++) {
      if (this.#index.tierFrom(marker.block, endpoint, 1) === 0) continue
      const runs = this.#index.match(chain, endpoint)
      const blocks = runs.reduce((sum, run) => sum + run.blocks, 0)
      const tier = runs.at(-1)?.tier
      if (blocks !== chain.length || tier === undefined) continue
      if (best.endpoints === 0 || tier < best.tier) best = { tier, endpoints: 1 }
      else if (tier === best.tier) best = { tier, endpoints: best.endpoints + 1 }
    }
    return best
  }

  #touch(block: Block): void {
    if (this.#marked.has(block)) for (const marker of this.#byBlock.get(block) ?? []) this.#dirty.add(marker)
  }

  #shedTo(markers: number): void {
    while (this.#markers.size > markers) {
      const oldest = this.#markers.entries().next()
      if (oldest.done === true) return
      this.#forget(...oldest.value)
    }
  }

  #forget(key: number, marker: Marker): void {
    if (this.#markers.get(key) === marker) this.#markers.delete(key)
    this.#dirty.delete(marker)
    if (marker.reportedTier !== TIER_NOWHERE) {
      const { lo, hi, origin } = marker
      this.#departed.push({ lo, hi, tier: TIER_NOWHERE, origin })
    }
    if (marker.block === NO_BLOCK) return
    const markers = this.#byBlock.get(marker.block)
    markers?.delete(marker)
    if (markers?.size === 0) {
      this.#byBlock.delete(marker.block)
      this.#marked.set(marker.block, false)
    }
    this.#index.table.release(marker.block)
  }
}

function asReported({ lo, hi, reportedTier, reportedSeveral, origin }: Marker): ResidencyChange {
  return { lo, hi, tier: reportedTier, ...(reportedSeveral ? { copies: 2 } : {}), origin }
}
