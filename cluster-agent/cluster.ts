/**
 * What the agent knows: endpoints and their health, and for each base model the block index, the ledger and the token
 * ratio. No I/O of its own; the parts that do I/O hold one of these.
 */
import { markerCount } from '../core/prefix-markers.ts'
import { tierByName } from '../core/tiers.ts'
import { ENDPOINTS_REPORTED_MAX, type ModelLoad, type ModelOffer } from '../protocol/report.ts'
import { BlockIndex } from './blocks/block-index.ts'
import { NO_BLOCK } from './blocks/block-table.ts'
import type { AgentConfig, ModelConfig } from './config.ts'
import type { EndpointSpec } from './discovery/endpoint-spec.ts'
import { EndpointRegistry } from './discovery/registry.ts'
import { PrefixLedger } from './ledger/prefix-ledger.ts'
import { TokenRatio } from './prompt/token-ratio.ts'
import { Bookings } from './routing/bookings.ts'
import type { Endpoint } from './routing/endpoint.ts'
import type { Candidate, Pair, RequestSize } from './routing/select.ts'
import { Speculation } from './routing/speculation.ts'

/** One base model; its adapters share the index. */
export interface ModelState {
  readonly index: BlockIndex
  readonly ledger: PrefixLedger
  readonly ratio: TokenRatio
  readonly speculation: Speculation
}

export interface Prompt {
  readonly model: ModelConfig
  readonly promptBytes: number
  readonly markers: Uint32Array
  readonly outputTokensMax: number | null
  /** false: several sequences come of it, and transfer params are good for one only. */
  readonly isSplittable: boolean
}

export interface PricedPrompt {
  readonly size: RequestSize
  readonly candidates: readonly Candidate[]
}

/** Answers without a bound are taken to be this long, for the KV space that they may come to hold. */
const OUTPUT_TOKENS_USUAL = 512
/** Weight of one hand-off in the estimate that the directories get. */
const HANDOFF_WEIGHT = 0.05
const BLOCK_TOKENS_USUAL = 16

export class Cluster {
  readonly config: AgentConfig
  readonly registry: EndpointRegistry
  readonly bookings = new Bookings()
  readonly #models = new Map<string, ModelConfig>()
  readonly #states = new Map<string, ModelState>()
  #handoffMs = 0
  draining = false

  constructor(config: AgentConfig) {
    this.config = config
    this.registry = new EndpointRegistry(Math.max(config.endpointsMax, config.endpoints.length))
    for (const spec of config.endpoints) this.openEndpoint(spec, performance.now())
    for (const model of config.models) {
      this.#models.set(model.model, model)
      const base = model.adapterOf ?? model.model
      if (!this.#states.has(base)) this.#states.set(base, this.#makeState(base))
    }
  }

  model(name: string): ModelConfig | null {
    return this.#models.get(name) ?? null
  }

  state(model: ModelConfig): ModelState {
    const state = this.#states.get(model.adapterOf ?? model.model)
    if (!state) throw new Error(`no state for ${model.model}`)
    return state
  }

  get states(): readonly ModelState[] {
    return [...this.#states.values()]
  }

  /** Those that may get requests now or later; a number finds one by `registry.endpoint`. */
  get endpoints(): readonly Endpoint[] {
    return this.registry.endpoints
  }

  /** null: as many as there may be are here already. */
  openEndpoint(spec: EndpointSpec, nowMs: number): Endpoint | null {
    const endpoint = this.registry.open(spec, nowMs)
    if (endpoint) this.bookings.setCapacity(endpoint.number, spec.profile.kvTokens)
    return endpoint
  }

  updateEndpoint(number: number, spec: EndpointSpec): void {
    this.registry.update(number, spec)
    this.bookings.setCapacity(number, spec.profile.kvTokens)
  }

  /** Forgets what an endpoint holds: it is another process, or gone. */
  fence(endpoint: number): void {
    for (const { index } of this.#states.values()) index.fence(endpoint)
  }

  /** Of an engine that can be asked now, the first that takes requests before others; null without any. */
  anyUrl(): string | null {
    const [first] = this.endpoints
      .filter(({ number }) => this.unavailable(number) === null)
      .concat(this.endpoints)
    return first ? (this.registry.spec(first.number)?.url ?? null) : null
  }

  unavailable(endpoint: number): string | null {
    return this.registry.unavailable(endpoint)
  }

  /** `reason` null: the endpoint takes requests. */
  setUnavailable(endpoint: number, reason: string | null): void {
    this.registry.setFault(endpoint, reason)
  }

  /** How every endpoint stands towards a prompt. */
  price(prompt: Prompt, nowMs: number, tried: ReadonlySet<number> = new Set()): PricedPrompt {
    const { index, ledger, ratio, speculation } = this.state(prompt.model)
    const { markers } = prompt
    let block = NO_BLOCK
    let tokens = 0
    let knownBytes = 0
    for (let i = markerCount(markers) - 1; i >= 0; i--) {
      const entry = ledger.find(markers[i * 3 + 1] ?? 0, markers[i * 3 + 2] ?? 0)
      if (!entry) continue
      block = entry.block
      tokens = entry.tokens
      knownBytes = markers[i * 3] ?? 0
      break
    }
    const chain = index.table.chain(block)
    const guesses = speculation.match(markers, nowMs)
    const restBytes = Math.max(prompt.promptBytes - knownBytes, 0)
    const promptTokens = tokens + (restBytes > 0 ? ratio.tokens(restBytes) : 0)
    const size: RequestSize = {
      promptTokens: Math.max(promptTokens, 1),
      outputTokensMax: prompt.outputTokensMax ?? OUTPUT_TOKENS_USUAL,
      kvBytesPerToken: prompt.model.kvBytesPerToken,
      blockTokens: index.blockTokens || BLOCK_TOKENS_USUAL,
      isSplittable: prompt.isSplittable,
    }
    const candidates = this.endpoints.map((endpoint): Candidate => {
      const bytes = guesses.get(endpoint.number) ?? 0
      // A prompt that is learnt says exactly how many tokens those bytes are.
      const guessed = bytes <= knownBytes ? Math.min(tokens, ratio.tokens(bytes)) : ratio.tokens(bytes)
      return {
        endpoint,
        load: this.bookings.load(endpoint.number, nowMs),
        runs: index.match(chain, endpoint.number),
        speculativeTokens: bytes === 0 ? 0 : guessed - (guessed % size.blockTokens),
        unavailable: tried.has(endpoint.number) ? 'tried' : this.unavailable(endpoint.number),
      }
    })
    return { size, candidates }
  }

  noteHandoff(pair: Pair): void {
    const ms = pair.prefill === pair.decode ? 0 : pair.handoffMs + pair.stepMs
    this.#handoffMs += (ms - this.#handoffMs) * HANDOFF_WEIGHT
  }

  /** What the directories tell the edges about each model. */
  offers(): ModelOffer[] {
    const [first] = this.endpoints.filter(({ role }) => role !== 'decode').concat(this.endpoints)
    if (!first) return []
    return [...this.#models.values()].map((model) => ({
      model: model.model,
      bytesPerToken: this.state(model).ratio.bytesPerToken,
      kvBytesPerToken: model.kvBytesPerToken,
      contextTokensMax: model.contextTokensMax,
      prefill: first.profile.prefill,
      tiers: Object.fromEntries(Object.entries(first.profile.tiers).filter(([name]) => tierByName(name))),
    }))
  }

  loads(nowMs: number): ModelLoad[] {
    // Decode endpoints prefill too when that is cheaper, so they count.
    const loads = this.endpoints
      .filter(({ number }) => this.unavailable(number) === null)
      .map(({ number }) => this.bookings.load(number, nowMs))
      .toSorted((a, b) => a.backlogMs - b.backlogMs)
    return [...this.#models.values()].map((model) => ({
      model: model.model,
      backlogMs: loads[0]?.backlogMs ?? 0,
      otherBacklogsMs: loads.slice(1, 1 + ENDPOINTS_REPORTED_MAX).map(({ backlogMs }) => backlogMs),
      kvPressure: loads[0]?.kvPressure ?? 0,
      handoffMs: this.#handoffMs,
      endpoints: loads.length,
      bytesPerToken: this.state(model).ratio.bytesPerToken,
    }))
  }

  #makeState(model: string): ModelState {
    const { capacity } = this.registry
    const index: BlockIndex = new BlockIndex(model, capacity, (block, isLoss) =>
      ledger.noteBlock(block, isLoss),
    )
    const ledger = new PrefixLedger(index, capacity)
    return { index, ledger, ratio: new TokenRatio(), speculation: new Speculation() }
  }
}
