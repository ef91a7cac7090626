/**
 * Residency of one model's blocks in one cluster, kept by the engines' events. Engine hashes are opaque and map to our
 * blocks for each endpoint. vLLM announces every physical copy and every eviction of one, so copies are counted: a block
 * is gone when the last copy is. At its bounds the index refuses blocks: what it does not know it does not claim.
 */
import { TIERS } from '../../core/tiers.ts'
import { saltOf } from '../events/block-identity.ts'
import { EventBatch } from '../events/event-batch.ts'
import type { EngineHash, HashRun, KvEvent, RemovedRun, StoredRun } from '../events/kv-event.ts'
import { BlockSize } from './block-size.ts'
import { BlockTable, BLOCKS_MAX, NO_BLOCK, type Block, type ChainRoot } from './block-table.ts'
import { Copies } from './copies.ts'
import { endpointStates, type EndpointState } from './endpoint-state.ts'
import { ENTRIES_MAX, EngineHashes } from './engine-hashes.ts'
import type { IndexBounds, IndexCounts } from './bounds.ts'
import { GateCopies } from './gate-copies.ts'
import { gatedDepth } from './gates.ts'
import { MediumTier } from './medium-tier.ts'
import { Residency, type MatchRun } from './residency.ts'
import type { TierCounts } from './tier-counts.ts'

/** Blocks whose memory is fetched at once. */
const STRIDE = 64

export class BlockIndex {
  readonly table: BlockTable
  readonly #model: string
  readonly #residency: Residency
  readonly #hashes: EngineHashes
  readonly #copies: Copies
  readonly #gates: GateCopies
  readonly #endpoints: EndpointState[]
  readonly #size = new BlockSize()
  readonly #scratch = new EventBatch()
  readonly #keys = new Int32Array(2 * STRIDE)
  readonly #warmed = new Int32Array(STRIDE)
  readonly #mediumTier = new MediumTier()
  #applied = 0
  #ignored = 0
  #refused = 0

  /** `onChange` hears of every block that came to or left a tier of an endpoint. */
  constructor(
    model: string,
    endpoints: number,
    onChange: (block: Block, endpoint: number) => void = () => undefined,
    { blocksMax = BLOCKS_MAX, entriesMax = ENTRIES_MAX, setsMax, makeRoom }: IndexBounds = {},
  ) {
    this.#model = model
    this.table = new BlockTable(blocksMax, makeRoom)
    this.#residency = new Residency(endpoints, setsMax)
    this.#hashes = new EngineHashes(entriesMax)
    this.#copies = new Copies(this.table, this.#hashes, this.#residency, onChange)
    this.#gates = new GateCopies(this.table, this.#hashes, this.#copies, onChange)
    this.#endpoints = endpointStates(endpoints)
  }

  /** Tokens of a block, by what most events say; 0 before anybody has said it. */
  get blockTokens(): number {
    return this.#size.tokens
  }

  /** What an engine says its block size is, for prompts that are learnt before its first event. */
  assumeBlockTokens(blockTokens: number): void {
    this.#size.assume(blockTokens)
  }

  get counts(): IndexCounts {
    const orphans = this.#endpoints.reduce((sum, endpoint) => sum + endpoint.orphans.size, 0)
    const gates = this.#endpoints.reduce((sum, { groups }) => sum + groups.bytes, 0)
    return {
      applied: this.#applied,
      ignored: this.#ignored,
      orphans,
      refused: this.#refused + this.#residency.refused,
      bytes: this.table.bytes + this.#residency.bytes + this.#hashes.bytes + gates,
    }
  }

  get tiers(): TierCounts {
    return this.#residency.tiers
  }

  /** Engine hashes that lie on a tier of an endpoint: for inspection and tests. */
  residentHashes(endpoint: number, tier: number): EngineHash[] {
    return this.#copies.resident(endpoint, tier)
  }

  root(lora: string | null, salt: string | null, blockTokens = this.blockTokens): ChainRoot {
    return { model: this.#model, lora, salt, blockTokens }
  }

  /** The longest prefix of `chain` that `endpoint` can use, as runs by tier. Other groups of a hybrid model may end it. */
  match(chain: Int32Array, endpoint: number): MatchRun[] {
    const gates = this.#endpoints[endpoint]?.groups.gates ?? []
    if (gates.length === 0) return this.#residency.match(chain, endpoint)
    const depth = this.#residency.matchedBlocks(chain, endpoint)
    return this.#residency.match(chain, endpoint, gatedDepth(chain, depth, gates, this.blockTokens))
  }

  tierFrom(block: Block, endpoint: number, from: number): number {
    return this.#residency.tierFrom(block, endpoint, from)
  }

  /** Whether no endpoint has the block on any tier. */
  isNowhere(block: Block): boolean {
    return this.#residency.isNowhere(block)
  }

  apply(endpoint: number, event: KvEvent): void {
    this.#scratch.clear()
    if (this.#scratch.push(event)) this.applyBatch(endpoint, this.#scratch)
    else this.#ignored++
  }

  applyBatch(endpoint: number, batch: EventBatch): void {
    const state = this.#endpoints[endpoint]
    if (!state) return
    let warmed = 0
    for (let i = 0; i < batch.count; i++) {
      const event = batch.event(i)
      // Removals name one hash each: they are fetched into the caches many at a time.
      if (event.kind === 'removed' && event.hashFrom >= warmed) {
        const count = Math.min(batch.hashCount - event.hashFrom, STRIDE)
        this.#hashes.warm(endpoint, batch.hashes, event.hashFrom, count, this.#warmed)
        this.table.warmBlocks(this.#warmed, count)
        warmed = event.hashFrom + count
      }
      this.#applied++
      if (event.kind === 'stored') this.#store(state, event)
      else if (event.kind === 'removed') this.#remove(state, event)
      else this.#clear(state)
    }
    this.table.sweep()
  }

  /** Forgets everything about an endpoint: it is another process now, or gone. */
  fence(endpoint: number): void {
    const state = this.#endpoints[endpoint]
    if (!state) return
    this.#clear(state)
    for (const tier of TIERS) this.#copies.clear(endpoint, tier.number)
    state.groups.forget()
  }

  /** The GPU's cache is empty; other tiers keep what they have. */
  #clear({ number, orphans, groups }: EndpointState): void {
    this.#copies.clear(number, TIERS[0].number)
    orphans.clear()
    for (const gate of groups.gates) this.#gates.clear(gate)
  }

  #store(state: EndpointState, run: StoredRun): void {
    const tier = this.#mediumTier.of(run.medium)
    const role = state.groups.roleOf(run)
    const gate = role === 'ignored' || role === 'indexed' ? null : state.groups.gate(run.group, role, run)
    if (!tier || (role !== 'indexed' && !gate)) this.#ignored++
    else if (gate) this.#refused += this.#gates.add(gate, run)
    else if (run.tokenCount === 0) this.#storePlaceholder(state, run, tier.number)
    else this.#storeTokens(state, run, tier.number)
  }

  #storeTokens(state: EndpointState, run: StoredRun, tier: number): void {
    // llm-d's simulator leaves the size out. Sparse runs leave blocks out while the tokens span all: nothing can be
    // attributed.
    const size = run.blockTokens > 0 ? run.blockTokens : run.tokenCount / run.hashCount
    if (run.tokenCount !== run.hashCount * size || !Number.isInteger(size)) {
      this.#ignored++
      return
    }
    let parent = NO_BLOCK
    if (run.hasParent) {
      parent = this.#copies.block(state.number, run.parentLo, run.parentHi)
      // llm-d's simulator says 0 for "none".
      if (parent === NO_BLOCK && (run.parentLo !== 0 || run.parentHi !== 0)) {
        state.orphans.add(run)
        return
      }
    }
    this.#size.note(size)
    if (parent === NO_BLOCK) this.table.startChain(this.root(run.lora, saltOf(run), size))
    this.#storeBlocks(state, run, parent, size, tier)
    if (state.groups.gates.length > 0) this.#gates.resolve(state.groups.gates, run)
    if (state.orphans.size > 0) this.#adopt(state, run)
  }

  /** In strides, each of which is fetched into the caches before it is worked on. */
  #storeBlocks(state: EndpointState, run: StoredRun, before: Block, size: number, tier: number): void {
    const { hashes, hashFrom, hashCount } = run
    const keys = this.#keys
    let parent = before
    for (let start = 0; start < hashCount; start += STRIDE) {
      const count = Math.min(hashCount - start, STRIDE)
      this.table.keysOf(parent, run, size, start, count, keys)
      this.table.warm(keys, count)
      this.#hashes.warm(state.number, hashes, hashFrom + start, count, this.#warmed)
      for (let i = 0; i < count; i++) {
        const block = this.table.internKey(parent, keys[i * 2] as number, keys[i * 2 + 1] as number)
        const at = (hashFrom + start + i) * 2
        const lo = hashes[at] as number
        const hi = hashes[at + 1] as number
        if (block === NO_BLOCK || !this.#copies.add(state.number, lo, hi, block, tier)) {
          this.#refused += hashCount - start - i
          return
        }
        parent = block
      }
    }
  }

  /** Stores that waited for a block of this run. */
  #adopt(state: EndpointState, { hashes, hashFrom, hashCount }: HashRun): void {
    const parents = hashes.slice(hashFrom * 2, (hashFrom + hashCount) * 2)
    for (let i = 0; i < parents.length; i += 2)
      for (const orphan of state.orphans.take(parents[i] as number, parents[i + 1] as number))
        this.#store(state, orphan)
  }

  /** Offload tiers name hashes only: they are known from the GPU's own events, or mean nothing to us. */
  #storePlaceholder({ number }: EndpointState, { hashes, hashFrom, hashCount }: HashRun, tier: number): void {
    for (let at = hashFrom * 2; at < (hashFrom + hashCount) * 2; at += 2) {
      const lo = hashes[at] as number
      const hi = hashes[at + 1] as number
      const block = this.#copies.block(number, lo, hi)
      if (block === NO_BLOCK) this.#ignored++
      else this.#copies.add(number, lo, hi, block, tier)
    }
  }

  #remove({ number, groups, orphans }: EndpointState, run: RemovedRun): void {
    const gate = groups.gateOf(run.group)
    const tier = this.#mediumTier.of(run.medium)
    if (!tier || (!gate && run.group !== (groups.indexed ?? run.group))) {
      this.#ignored++
      return
    }
    const { hashes, hashFrom, hashCount } = run
    for (let at = hashFrom * 2; at < (hashFrom + hashCount) * 2; at += 2) {
      const lo = hashes[at] as number
      const hi = hashes[at + 1] as number
      if (gate) this.#gates.remove(gate, lo, hi)
      else if (!this.#copies.remove(number, lo, hi, tier.number)) orphans.forget(lo, hi)
    }
  }
}
