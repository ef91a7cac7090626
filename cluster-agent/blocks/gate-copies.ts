/**
 * What the gating groups of hybrid models hold, by hash. Such a hash means the block that the same hash means in the dense
 * group; one that the dense group has not told of waits with NO_BLOCK.
 */
import type { HashRun } from '../events/kv-event.ts'
import { NO_BLOCK, type Block, type BlockTable } from './block-table.ts'
import type { Copies } from './copies.ts'
import { NO_ENTRY, type EngineHashes, type Entry } from './engine-hashes.ts'
import type { Gate } from './gates.ts'

/** Copies are counted as if on one tier, wherever they lie. */
const ANY_TIER = 1

export class GateCopies {
  readonly #table: BlockTable
  readonly #hashes: EngineHashes
  readonly #copies: Copies
  readonly #onChange: (block: Block, endpoint: number) => void

  constructor(
    table: BlockTable,
    hashes: EngineHashes,
    copies: Copies,
    onChange: (block: Block, endpoint: number) => void,
  ) {
    this.#table = table
    this.#hashes = hashes
    this.#copies = copies
    this.#onChange = onChange
  }

  /** How many hashes found no room. */
  add(gate: Gate, { hashes: pairs, hashFrom, hashCount }: HashRun): number {
    const hashes = this.#hashes
    for (let i = 0; i < hashCount; i++) {
      const lo = pairs[(hashFrom + i) * 2] as number
      const hi = pairs[(hashFrom + i) * 2 + 1] as number
      const entry = hashes.enter(gate.lane, lo, hi, NO_BLOCK)
      if (entry === NO_ENTRY) return hashCount - i
      if (!hashes.hasCopies(entry)) {
        const block = this.#copies.block(gate.endpoint, lo, hi)
        if (block !== NO_BLOCK) this.#resolve(gate, entry, block)
      }
      hashes.addCopy(entry, ANY_TIER)
    }
    return 0
  }

  remove(gate: Gate, lo: number, hi: number): void {
    const hashes = this.#hashes
    const entry = hashes.find(gate.lane, lo, hi)
    if (entry === NO_ENTRY) return
    const copies = hashes.copies(entry, ANY_TIER) - 1
    hashes.setCopies(entry, ANY_TIER, copies)
    if (copies <= 0) this.#drop(gate, entry)
  }

  /** The dense group has told of the blocks of a run. */
  resolve(gates: readonly Gate[], { hashes: pairs, hashFrom, hashCount }: HashRun): void {
    for (let i = 0; i < hashCount; i++) {
      const lo = pairs[(hashFrom + i) * 2] as number
      const hi = pairs[(hashFrom + i) * 2 + 1] as number
      for (const gate of gates) {
        const entry = this.#hashes.find(gate.lane, lo, hi)
        const block = entry === NO_ENTRY ? NO_BLOCK : this.#copies.block(gate.endpoint, lo, hi)
        if (block !== NO_BLOCK && this.#hashes.block(entry) !== block) this.#resolve(gate, entry, block)
      }
    }
  }

  clear(gate: Gate): void {
    for (const entry of this.#hashes.of(gate.lane)) this.#drop(gate, entry)
  }

  /** The block is held, so that its number means nothing else while the gate speaks of it. */
  #resolve(gate: Gate, entry: Entry, block: Block): void {
    const before = this.#hashes.block(entry)
    this.#table.retain(block)
    this.#hashes.setBlock(entry, block)
    gate.bits.set(block, true)
    this.#onChange(block, gate.endpoint)
    this.#forget(gate, before)
  }

  #drop(gate: Gate, entry: Entry): void {
    const block = this.#hashes.block(entry)
    this.#hashes.remove(gate.lane, entry)
    this.#forget(gate, block)
  }

  #forget(gate: Gate, block: Block): void {
    if (block === NO_BLOCK) return
    gate.bits.set(block, false)
    this.#onChange(block, gate.endpoint)
    this.#table.release(block)
  }
}
