/**
 * Which engine hash means which block on an endpoint, with how many copies on each tier. The first copy on a tier makes the
 * block resident there, the last one that goes ends it; the last on any tier forgets the hash.
 */
import { TIERS } from '../../core/tiers.ts'
import type { EngineHash } from '../events/kv-event.ts'
import { NO_BLOCK, type Block, type BlockTable } from './block-table.ts'
import { NO_ENTRY, type EngineHashes, type Entry } from './engine-hashes.ts'
import type { Residency } from './residency.ts'

export class Copies {
  readonly #table: BlockTable
  readonly #hashes: EngineHashes
  readonly #residency: Residency
  readonly #onChange: (block: Block, endpoint: number) => void

  constructor(
    table: BlockTable,
    hashes: EngineHashes,
    residency: Residency,
    onChange: (block: Block, endpoint: number) => void,
  ) {
    this.#table = table
    this.#hashes = hashes
    this.#residency = residency
    this.#onChange = onChange
  }

  /** The block that a hash means, or NO_BLOCK. */
  block(endpoint: number, lo: number, hi: number): Block {
    const entry = this.#hashes.find(endpoint, lo, hi)
    return entry === NO_ENTRY ? NO_BLOCK : this.#hashes.block(entry)
  }

  /** False when there is no room. */
  add(endpoint: number, lo: number, hi: number, block: Block, tier: number): boolean {
    const hashes = this.#hashes
    let entry = hashes.enter(endpoint, lo, hi, block)
    // The hash means another block than it did: another size, another parent, or a hash of content alone.
    if (entry !== NO_ENTRY && hashes.block(entry) !== block) {
      this.#drop(endpoint, entry)
      entry = hashes.enter(endpoint, lo, hi, block)
    }
    if (entry === NO_ENTRY) return false
    if (!hashes.hasCopies(entry)) this.#table.retain(block)
    hashes.addCopy(entry, tier)
    if (this.#residency.set(block, endpoint, tier, true)) this.#onChange(block, endpoint)
    return true
  }

  /** False when no copy is known there. */
  remove(endpoint: number, lo: number, hi: number, tier: number): boolean {
    const hashes = this.#hashes
    const entry = hashes.find(endpoint, lo, hi)
    const copies = entry === NO_ENTRY ? 0 : hashes.copies(entry, tier)
    if (copies === 0) return false
    hashes.setCopies(entry, tier, copies - 1)
    if (copies === 1) {
      this.#residency.tiers.noteEviction(tier)
      this.#leave(endpoint, entry, tier)
    }
    return true
  }

  clear(endpoint: number, tier: number): void {
    for (const entry of this.#hashes.of(endpoint)) {
      if (this.#hashes.copies(entry, tier) === 0) continue
      this.#hashes.setCopies(entry, tier, 0)
      this.#leave(endpoint, entry, tier)
    }
  }

  resident(endpoint: number, tier: number): EngineHash[] {
    const hashes = this.#hashes
    return [...hashes.of(endpoint)].flatMap((entry) =>
      hashes.copies(entry, tier) > 0 ? [hashes.hash(entry)] : [],
    )
  }

  #leave(endpoint: number, entry: Entry, tier: number): void {
    const block = this.#hashes.block(entry)
    if (this.#residency.set(block, endpoint, tier, false)) this.#onChange(block, endpoint)
    if (this.#hashes.hasCopies(entry)) return
    this.#hashes.remove(endpoint, entry)
    this.#table.release(block)
  }

  #drop(endpoint: number, entry: Entry): void {
    const block = this.#hashes.block(entry)
    for (const { number } of TIERS) {
      if (this.#hashes.copies(entry, number) === 0) continue
      if (this.#residency.set(block, endpoint, number, false)) this.#onChange(block, endpoint)
    }
    this.#hashes.remove(endpoint, entry)
    this.#table.release(block)
  }
}
