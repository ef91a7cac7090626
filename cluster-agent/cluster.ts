/**
 * What the agent knows: endpoints and their health, and for each base model the block index, the ledger and the token
 * ratio. No I/O of its own; the parts that do I/O hold one of these.
 */
import type { ModelLoad, ModelOffer } from '../protocol/report.ts'
import { AdmissionQueue } from './admission/queue.ts'
import { AnswerLengths } from './calibration/answer-lengths.ts'
import { Calibration, type SavedCalibration } from './calibration/calibration.ts'
import { readCostMetrics } from './calibration/cost-metrics.ts'
import type { ServedRequest } from './calibration/served-request.ts'
import { BlockIndex } from './blocks/block-index.ts'
import type { AgentConfig, ModelConfig } from './config.ts'
import type { EndpointSpec } from './discovery/endpoint-spec.ts'
import { EndpointRegistry } from './discovery/registry.ts'
import { PrefixLedger } from './ledger/prefix-ledger.ts'
import { TokenRatio } from './prompt/token-ratio.ts'
import { EventAge } from './report/event-age.ts'
import { offerOf } from './report/offer.ts'
import { TierStates } from './report/tier-states.ts'
import { AdapterSlots } from './routing/adapter-slots.ts'
import { Bookings } from './routing/bookings.ts'
import type { RequestSize } from './routing/candidate.ts'
import { queuesOf } from './routing/cluster-queues.ts'
import type { Endpoint } from './routing/endpoint.ts'
import { pricePrompt, type ModelKnowledge, type PricedPrompt } from './routing/price-prompt.ts'
import { PRICE_WEIGHTS, type Pair } from './routing/select.ts'
import { Speculation } from './routing/speculation.ts'
import { Decisions } from './vitals/decisions.ts'

/** One base model; its adapters share the index. */
export type ModelState = ModelKnowledge

export interface Prompt {
  readonly model: ModelConfig
  readonly promptBytes: number
  readonly markers: Uint32Array
  readonly outputTokensMax: number | null
  /** Milliseconds that the tenant's policy asks for; null or absent: nothing. */
  readonly sloTtftMs?: number | null
  readonly sloItlMs?: number | null
  /** false: several sequences come of it, and transfer params are good for one only. */
  readonly isSplittable: boolean
}

/** Weight of one hand-off in the estimate that the directories get. */
const HANDOFF_WEIGHT = 0.05

export class Cluster {
  readonly config: AgentConfig
  readonly registry: EndpointRegistry
  readonly bookings = new Bookings()
  readonly adapters = new AdapterSlots()
  readonly calibration: Calibration
  readonly decisions = new Decisions()
  readonly eventAge = new EventAge()
  /** Requests that wait for room. */
  readonly queue: AdmissionQueue
  readonly #models = new Map<string, ModelConfig>()
  readonly #states = new Map<string, ModelState>()
  readonly #answers = new AnswerLengths()
  readonly #tiers = new TierStates()
  #handoffMs = 0
  draining = false

  /** `saved`: what an earlier life learnt of the endpoints. */
  constructor(config: AgentConfig, saved: SavedCalibration = {}) {
    this.config = config
    this.calibration = new Calibration(saved)
    this.queue = new AdmissionQueue(config.admission)
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

  /** Those that may get requests now or later, with what was learnt of them. */
  get endpoints(): readonly Endpoint[] {
    return this.calibration.learnt(this.registry.endpoints)
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
    this.adapters.clear(endpoint)
  }

  /** Of an engine that can be asked now, the first that takes requests before others; null without any. */
  anyUrl(): string | null {
    const [first] = this.endpoints
      .filter(({ number }) => this.unavailable(number) === null)
      .concat(this.endpoints)
    return first ? (this.registry.spec(first.number)?.url ?? null) : null
  }

  unavailable(endpoint: number): string | null {
    const reason = this.registry.unavailable(endpoint)
    if (reason !== null) return reason
    const legsMax = this.registry.legsMax(endpoint)
    return legsMax !== null && this.bookings.countOf(endpoint, performance.now()) >= legsMax
      ? 'limited'
      : null
  }

  /** `reason` null: the endpoint takes requests. */
  setUnavailable(endpoint: number, reason: string | null): void {
    this.registry.setFault(endpoint, reason)
  }

  /** How every endpoint stands towards a prompt. */
  price(prompt: Prompt, nowMs: number, tried: ReadonlySet<number> = new Set()): PricedPrompt {
    const { model, adapterOf, kvBytesPerToken } = prompt.model
    const shape = {
      promptBytes: prompt.promptBytes,
      markers: prompt.markers,
      adapter: adapterOf === undefined ? null : model,
      kvBytesPerToken,
      answerTokens: this.#answers.expected(model, prompt.outputTokensMax),
      isSplittable: prompt.isSplittable,
      sloTtftMs: prompt.sloTtftMs ?? null,
      sloItlMs: prompt.sloItlMs ?? null,
    }
    return pricePrompt(this, this.state(prompt.model), shape, tried, nowMs)
  }

  /** Books a choice under `id`, which no other choice has. */
  book(pair: Pair, size: RequestSize, id: string, prompt: Prompt, isStream: boolean, nowMs: number): void {
    const { model, markers } = prompt
    const prefill = pair.prefill.endpoint.number
    const decode = pair.decode.endpoint.number
    const tokens = size.promptTokens + size.answerTokens
    // On one endpoint the sequence keeps the space that its prompt took.
    this.bookings.bookPrefill(
      prefill,
      id,
      pair.loadMs + pair.prefillMs,
      prefill === decode ? 0 : size.promptTokens,
      nowMs,
      { newTokens: size.promptTokens - pair.reusedTokens, isSilent: !isStream && prefill === decode },
    )
    this.bookings.bookDecode(decode, id, tokens, nowMs, size.answerTokens)
    // A prefix that is being pulled is no hit for others before it is there: they pull as well.
    if (pair.source === null) this.state(model).speculation.note(prefill, markers, nowMs)
    if (model.adapterOf) for (const endpoint of [prefill, decode]) this.adapters.use(endpoint, model.model)
    this.noteHandoff(pair)
  }

  /** The attempt did not get to compute there: its prefix is not expected. */
  unbook(pair: Pair, { model, markers }: Prompt): void {
    this.state(model).speculation.forget(pair.prefill.endpoint.number, markers)
  }

  /** What a served request says of laws and lengths. */
  noteServed(served: ServedRequest, model: string): void {
    this.calibration.noteServed(served)
    if (served.answerTokens !== null) this.#answers.note(model, served.answerTokens)
  }

  /** What an engine's `/metrics` say. */
  noteMetrics(number: number, text: string, nowMs: number): void {
    const endpoint = this.registry.endpoint(number)
    if (!endpoint) return
    const sample = readCostMetrics(text, endpoint.rank ?? null)
    this.calibration.noteMetrics(endpoint, sample, this.bookings.booked(number, nowMs), nowMs)
    const { kvTokens, pinnedShare, foreign } = this.calibration.standing(endpoint)
    this.bookings.setCapacity(number, kvTokens)
    this.bookings.setPinnedShare(number, pinnedShare)
    this.bookings.setForeign(number, foreign)
    if (sample.adapters) this.adapters.observe(number, sample.adapters, nowMs)
  }

  noteHandoff(pair: Pair): void {
    const ms = pair.prefill === pair.decode ? 0 : pair.handoffMs + pair.stepMs
    this.#handoffMs += (ms - this.#handoffMs) * HANDOFF_WEIGHT
  }

  /** What the directories tell the edges about each model. */
  offers(): ModelOffer[] {
    const [first] = this.endpoints.filter(({ role }) => role !== 'decode').concat(this.endpoints)
    if (!first) return []
    return [...this.#models.values()].map((model) =>
      offerOf(model, this.state(model).ratio.bytesPerToken, first.profile),
    )
  }

  loads(nowMs: number): ModelLoad[] {
    const standings = this.endpoints
      .filter(({ number }) => this.unavailable(number) === null)
      .map((endpoint) => ({ endpoint, load: this.bookings.load(endpoint.number, nowMs) }))
    const heldMs = standings.length === 0 ? 0 : this.queue.queuedMs / standings.length
    const { first, ...queues } = queuesOf(standings, heldMs, PRICE_WEIGHTS.disturbance)
    return [...this.#models.values()].map((model) => ({
      model: model.model,
      ...queues,
      handoffMs: this.#handoffMs,
      endpoints: standings.length,
      bytesPerToken: this.state(model).ratio.bytesPerToken,
      tiers: this.#tiers.of(this.state(model).index.tiers, nowMs),
      ...(first && {
        prefillMsPerToken: first.endpoint.profile.prefill.msPerToken,
        itlMs: first.endpoint.profile.decodeStepMs,
        kvFreeTokens: Math.max(0, Math.floor(first.endpoint.profile.kvTokens - first.load.pinnedTokens)),
      }),
    }))
  }

  #makeState(model: string): ModelState {
    const { capacity } = this.registry
    const index: BlockIndex = new BlockIndex(
      model,
      capacity,
      (block, endpoint) => ledger.noteBlock(block, endpoint),
      { makeRoom: () => ledger.shed() },
    )
    const ledger = new PrefixLedger(index, capacity)
    return { index, ledger, ratio: new TokenRatio(), speculation: new Speculation() }
  }
}
