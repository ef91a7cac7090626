/**
 * Residency of one model's blocks in one cluster, kept by the engines' events. Engine hashes are opaque and map to our
 * blocks for each endpoint. vLLM announces every physical copy and every eviction of one, so copies are counted: a block
 * is gone when the last copy is.
 */
import { TIERS, tierByMedium } from '../../core/tiers.ts'
import type { EngineHash, KvEvent, RemovedEvent, StoredEvent } from '../events/kv-event.ts'
import { BlockTable, NO_BLOCK, type Block, type ChainRoot } from './block-table.ts'
import { OrphanStore } from './orphans.ts'
import { Residency, type MatchRun } from './residency.ts'

/** Attention whose blocks form a whole prefix. Windows and states only gate a match and are not indexed. */
const DENSE_KINDS = new Set(['full_attention', 'mla_attention', 'sink_full_attention'])

interface Entry {
  readonly block: Block
  /** Copies by tier number. */
  readonly copies: Uint16Array
}

interface EndpointState {
  readonly entries: Map<EngineHash, Entry>
  readonly orphans: OrphanStore
  /** The one KV group that is indexed: the first dense one. Every group announces the same hashes. */
  group: number | null
}

export interface IndexCounts {
  readonly applied: number
  /** Events that could not be placed: other groups, unknown media, sparse runs. */
  readonly ignored: number
  readonly orphans: number
}

export class BlockIndex {
  readonly table = new BlockTable()
  readonly #model: string
  readonly #residency: Residency
  readonly #endpoints: EndpointState[]
  readonly #onChange: (block: Block, isLoss: boolean) => void
  #applied = 0
  #ignored = 0
  /** Block size of the events seen last, in tokens; 0 before the first. */
  #blockTokens = 0

  /** `onChange` hears of every block that came to or left (`isLoss`) a tier of an endpoint. */
  constructor(
    model: string,
    endpoints: number,
    onChange: (block: Block, isLoss: boolean) => void = () => undefined,
  ) {
    this.#model = model
    this.#residency = new Residency(endpoints)
    this.#onChange = onChange
    this.#endpoints = Array.from({ length: endpoints }, () => ({
      entries: new Map(),
      orphans: new OrphanStore(),
      group: null,
    }))
  }

  get blockTokens(): number {
    return this.#blockTokens
  }

  /** What an engine says its block size is, for prompts that are learnt before its first event. */
  assumeBlockTokens(blockTokens: number): void {
    if (this.#blockTokens === 0) this.#blockTokens = blockTokens
  }

  get counts(): IndexCounts {
    const orphans = this.#endpoints.reduce((sum, endpoint) => sum + endpoint.orphans.size, 0)
    return { applied: this.#applied, ignored: this.#ignored, orphans }
  }

  /** Engine hashes that lie on a tier of an endpoint: for inspection and tests. */
  residentHashes(endpoint: number, tier: number): EngineHash[] {
    const entries = this.#endpoints[endpoint]?.entries ?? new Map<EngineHash, Entry>()
    return [...entries].flatMap(([hash, { copies }]) => ((copies[tier] ?? 0) > 0 ? [hash] : []))
  }

  root(lora: string | null, salt: string | null, blockTokens = this.#blockTokens): ChainRoot {
    return { model: this.#model, lora, salt, blockTokens }
  }

  match(chain: Int32Array, endpoint: number): MatchRun[] {
    return this.#residency.match(chain, endpoint)
  }

  tierFrom(block: Block, endpoint: number, from: number): number {
    return this.#residency.tierFrom(block, endpoint, from)
  }

  apply(endpoint: number, event: KvEvent): void {
    const state = this.#endpoints[endpoint]
    if (!state) return
    this.#applied++
    if (event.kind === 'cleared') {
      this.#clearTier(state, endpoint, TIERS[0].number)
      state.orphans.clear()
    }
    if (event.kind === 'removed') this.#remove(state, endpoint, event)
    if (event.kind === 'stored') this.#store(state, endpoint, event)
  }

  /** Forgets everything about an endpoint: it is another process now, or gone. */
  fence(endpoint: number): void {
    const state = this.#endpoints[endpoint]
    if (!state) return
    for (const tier of TIERS) this.#clearTier(state, endpoint, tier.number)
    state.orphans.clear()
    state.group = null
  }

  #store(state: EndpointState, endpoint: number, event: StoredEvent): void {
    const tier = tierByMedium(event.medium)
    const isDense = event.groupKind === null || DENSE_KINDS.has(event.groupKind)
    if (isDense) state.group ??= event.group
    if (!tier || !isDense || event.group !== state.group) {
      this.#ignored++
      return
    }
    if (event.blockTokens === 0 || event.tokens.length === 0) {
      this.#storePlaceholder(state, endpoint, event, tier.number)
      return
    }
    // Sparse runs leave blocks out while the tokens span all: nothing can be attributed.
    if (event.tokens.length !== event.hashes.length * event.blockTokens) {
      this.#ignored++
      return
    }
    let parent = NO_BLOCK
    if (event.parent !== null) {
      const known = state.entries.get(event.parent)
      if (!known) {
        state.orphans.add(event)
        return
      }
      parent = known.block
    }
    this.#blockTokens = event.blockTokens
    const root = this.root(event.lora, event.parent === null ? saltOf(event) : null, event.blockTokens)
    for (const [index, hash] of event.hashes.entries()) {
      const tokens = event.tokens.slice(index * event.blockTokens, (index + 1) * event.blockTokens)
      const extra = extraOf(event, index)
      const block = this.table.intern(root, parent, tokens, extra)
      this.#addCopy(state, endpoint, hash, block, tier.number)
      parent = block
    }
    for (const hash of event.hashes)
      for (const orphan of state.orphans.take(hash)) this.#store(state, endpoint, orphan)
  }

  /** Offload tiers name hashes only: they are known from the GPU's own events, or mean nothing to us. */
  #storePlaceholder(state: EndpointState, endpoint: number, event: StoredEvent, tier: number): void {
    for (const hash of event.hashes) {
      const entry = state.entries.get(hash)
      if (entry) this.#addCopy(state, endpoint, hash, entry.block, tier)
      else this.#ignored++
    }
  }

  #addCopy(state: EndpointState, endpoint: number, hash: EngineHash, block: Block, tier: number): void {
    let entry = state.entries.get(hash)
    if (entry && entry.block !== block) {
      this.#dropEntry(state, endpoint, hash, entry)
      entry = undefined
    }
    if (!entry) {
      entry = { block, copies: new Uint16Array(TIERS.length + 1) }
      state.entries.set(hash, entry)
      this.table.retain(block)
    }
    entry.copies[tier] = Math.min((entry.copies[tier] ?? 0) + 1, 0xffff)
    if (this.#residency.set(block, endpoint, tier, true)) this.#onChange(block, false)
  }

  #remove(state: EndpointState, endpoint: number, event: RemovedEvent): void {
    if (event.group !== (state.group ?? event.group)) return
    const tier = tierByMedium(event.medium)
    for (const hash of event.hashes) {
      const entry = state.entries.get(hash)
      if (!tier || !entry || (entry.copies[tier.number] ?? 0) === 0) {
        state.orphans.forget(hash)
        continue
      }
      entry.copies[tier.number] = (entry.copies[tier.number] ?? 0) - 1
      if (entry.copies[tier.number] === 0) this.#leaveTier(state, endpoint, hash, entry, tier.number)
    }
  }

  #clearTier(state: EndpointState, endpoint: number, tier: number): void {
    for (const [hash, entry] of state.entries) {
      if ((entry.copies[tier] ?? 0) === 0) continue
      entry.copies[tier] = 0
      this.#leaveTier(state, endpoint, hash, entry, tier)
    }
  }

  #leaveTier(state: EndpointState, endpoint: number, hash: EngineHash, entry: Entry, tier: number): void {
    if (this.#residency.set(entry.block, endpoint, tier, false)) this.#onChange(entry.block, true)
    if (entry.copies.every((copies) => copies === 0)) {
      state.entries.delete(hash)
      this.table.release(entry.block)
    }
  }

  #dropEntry(state: EndpointState, endpoint: number, hash: EngineHash, entry: Entry): void {
    for (const tier of TIERS) {
      if ((entry.copies[tier.number] ?? 0) === 0) continue
      entry.copies[tier.number] = 0
      if (this.#residency.set(entry.block, endpoint, tier.number, false)) this.#onChange(entry.block, true)
    }
    state.entries.delete(hash)
    this.table.release(entry.block)
  }
}

/**
 * The cache salt of a prompt's first block. Its keys hold the adapter's name, image ids as pairs, and the salt as the
 * one bare string that is left (vLLM publishes them untagged in every version).
 */
function saltOf(event: StoredEvent): string | null {
  const keys = event.extraKeys[0]
  if (!Array.isArray(keys)) return null
  const texts = keys.filter((key): key is string => typeof key === 'string')
  if (event.lora !== null && texts[0] === event.lora) texts.shift()
  return texts[0] ?? null
}

/** What beside adapter and salt went into a block: images and embeddings, as text. */
function extraOf(event: StoredEvent, index: number): string | null {
  const keys = event.extraKeys[index]
  if (!Array.isArray(keys)) return null
  const others = keys.filter((key) => typeof key !== 'string')
  return others.length === 0
    ? null
    : JSON.stringify(others, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
}
