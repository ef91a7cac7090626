/**
 * One request through the cluster: choose a pair of endpoints, book it, run its legs, release it, say what came true. Before
 * the first byte a failure moves on to the next choice with a new prefill.
 */
import type { ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import { errorBody, errorEvent } from '../protocol/dialect.ts'
import { RouteError } from '../protocol/errors.ts'
import { AGENT_ROUTE_HEADER } from '../protocol/receipt.ts'
import { Attempt } from './attempt.ts'
import { backgroundId, BackgroundWatch } from './background-watch.ts'
import { Bootstraps } from './bootstraps.ts'
import type { Cluster } from './cluster.ts'
import { leaveElsewhere } from './elsewhere.ts'
import type { EngineClients } from './engine-clients.ts'
import type { RequestObserver } from './finished-request.ts'
import type { GenerateRequest } from './generate-request.ts'
import type { JsonObject } from './handoff/json.ts'
import { kvSourceParams, parseKvSource, type KvSource } from './handoff/kv-source.ts'
import type { Health } from './health.ts'
import type { Learner } from './learner.ts'
import { LegRunner, type LegsOutcome } from './legs.ts'
import { Patience } from './patience.ts'
import { peerWithMore } from './peer-tier.ts'
import { RequestRecord } from './request-record.ts'
import { takingSalt } from './routing/cache-salt.ts'
import type { RequestSize } from './routing/candidate.ts'
import type { ResponseHomes } from './response-homes.ts'
import { routeHeader } from './route-header.ts'
import { predictedMs, selectPair, type Pair } from './routing/select.ts'
import { Tries } from './tries.ts'
import { WaitingRoom, type Entrant } from './waiting-room.ts'

/** Choices tried for one request; each failure takes an endpoint or the hand-off out. */
export const CHOICES_MAX = 8

interface Choice {
  readonly pair: Pair
  readonly size: RequestSize
  readonly knownTokens: number
  /** Where a request that is not handed over may load KV from. */
  readonly sourceParams: JsonObject | null
}

export class Generation {
  readonly #cluster: Cluster
  readonly #health: Health
  readonly #learner: Learner
  readonly #observers: readonly RequestObserver[]
  readonly #room: WaitingRoom
  readonly #legs: LegRunner
  readonly #homes: ResponseHomes
  readonly #background: BackgroundWatch

  constructor(
    cluster: Cluster,
    clients: EngineClients,
    health: Health,
    learner: Learner,
    homes: ResponseHomes,
    log: Logger,
    observers: readonly RequestObserver[] = [],
  ) {
    this.#cluster = cluster
    this.#homes = homes
    this.#health = health
    this.#learner = learner
    this.#observers = observers
    this.#room = new WaitingRoom(cluster)
    this.#background = new BackgroundWatch(clients)
    this.#legs = new LegRunner(clients, new Bootstraps(), log)
  }

  /** Those who wait for room go elsewhere. */
  refuseWaiting(): void {
    this.#room.close()
  }

  /** Writes the answer to `res`. Throws `RouteError` when no byte has gone out and nobody can answer. */
  async serve(request: GenerateRequest, res: ServerResponse): Promise<void> {
    const record = new RequestRecord(request, this.#cluster.config.cluster)
    const patience = new Patience(request, res)
    try {
      const outcome = await this.#serve(request, res, record)
      if (outcome.kind === 'aborted' && patience.isOver)
        throw new RouteError('deadline_exceeded', 'The deadline passed before the first token.')
      const end = endOf(outcome)
      this.#tell(record, end, outcome.kind === 'answered' ? outcome.status : res.statusCode)
    } catch (error) {
      this.#tell(record, 'failed', error instanceof RouteError ? error.kind.status : 500)
      throw error
    } finally {
      patience.end()
    }
  }

  async #serve(request: GenerateRequest, res: ServerResponse, record: RequestRecord): Promise<LegsOutcome> {
    if (!(await this.#room.enter(entrantOf(request)))) return { kind: 'aborted' }
    const tries = new Tries()
    const understood = this.#learner.learnFirst(request)
    if (understood) await understood
    for (let choice = 1; choice <= CHOICES_MAX && tries.mayGoOn; choice++) {
      const chosen = this.#choose(request, tries)
      if (!chosen) break
      if (choice === 1) leaveElsewhere(request, chosen.pair, res)
      record.noteChoice(chosen.pair, chosen.knownTokens)
      this.#homes.note(request, chosen.pair)
      if (choice === 1) this.#learner.offer(request)
      const outcome = await this.#run(request, chosen, res, record)
      if (outcome.kind !== 'failed') return this.#ended(outcome, request, chosen.pair, tries, res)
      this.#cluster.unbook(chosen.pair, request.prompt)
      const { prefill, decode } = chosen.pair
      const endpoint = (outcome.leg === 'prefill' ? prefill : decode).endpoint.number
      const isDead = tries.note(endpoint, outcome)
      if (isDead) this.#health.noteFailure(endpoint, outcome.reason)
    }
    throw tries.error()
  }

  /** The cheapest pair that was not tried, or null. */
  #choose(request: GenerateRequest, tries: Tries): Choice | null {
    const { prompt, api } = request
    const { config } = this.#cluster
    const nowMs = performance.now()
    const { size, candidates, knownTokens } = this.#cluster.price(prompt, nowMs, tries.endpoints)
    const asked = tries.isSplittable ? size : { ...size, isSplittable: false }
    const apart = config.unsaltedMessages ? candidates : takingSalt(api, candidates)
    if (candidates.length > 0 && apart.length === 0)
      throw new RouteError('no_endpoint', 'The engines of this cluster keep no caches apart by this API.')
    const choice = selectPair(this.#homes.filter(request, apart), asked)
    this.#cluster.decisions.note(request, size, choice, Date.now())
    const [best] = choice.ranked
    if (!best) return null
    const pair = best.candidate
    const source = tries.isSplittable
      ? this.#peerOf(pair)
      : peerWithMore(pair, candidates, (number) => this.#cluster.registry.spec(number))
    return { pair, size, knownTokens, sourceParams: source && kvSourceParams(source, crypto.randomUUID()) }
  }

  /** Where the peer can be asked whose tier the choice counts on. */
  #peerOf({ source }: Pair): KvSource | null {
    const address = source && this.#cluster.registry.spec(source.endpoint.number)?.peerTier
    return address ? parseKvSource(address) : null
  }

  async #run(
    request: GenerateRequest,
    { pair, size, sourceParams }: Choice,
    res: ServerResponse,
    record: RequestRecord,
  ): Promise<LegsOutcome> {
    const { registry, config } = this.#cluster
    const prefill = registry.spec(pair.prefill.endpoint.number)
    const decode = registry.spec(pair.decode.endpoint.number)
    if (!prefill || !decode) throw new Error('a chosen endpoint has no specification')
    const attempt = new Attempt(this.#cluster, pair, size, request, performance.now())
    try {
      const outcome = await this.#legs.run({
        attempt,
        request,
        record,
        res,
        prefill,
        decode,
        silenceMs: config.silenceMsMax + config.silenceFactor * predictedMs(pair),
        sourceParams,
        keepsCopy: this.#learner.learnsAnswer(request),
        headers: () => ({ [AGENT_ROUTE_HEADER]: routeHeader(pair, size.promptTokens, request) }),
      })
      const id = backgroundId(request)
      if (id !== null) await this.#finishLater(id, pair, request, attempt, record, outcome)
      else if (outcome.kind === 'answered' && outcome.status < 300)
        this.#cluster.noteServed(
          attempt.served(size, request.stream, record.usage),
          request.prompt.model.model,
        )
      return outcome
    } finally {
      attempt.release()
    }
  }

  /** Until what was begun is done, whoever still waits for it. What it took of each law cannot be told. */
  async #finishLater(
    id: string,
    { decode: { endpoint } }: Pair,
    { requestId }: GenerateRequest,
    attempt: Attempt,
    record: RequestRecord,
    outcome: LegsOutcome,
  ): Promise<void> {
    if (outcome.kind === 'failed' || (outcome.kind === 'answered' && outcome.status >= 300)) return
    const usage = await this.#background.untilDone(endpoint.number, id, requestId, () => attempt.renew())
    if (usage) record.noteUsage(usage)
  }

  #ended(
    outcome: LegsOutcome,
    request: GenerateRequest,
    pair: Pair,
    tries: Tries,
    res: ServerResponse,
  ): LegsOutcome {
    if (outcome.kind === 'answered') {
      // Endpoints that failed on what another one answered: the fault was theirs.
      for (const endpoint of tries.faulty) this.#health.noteFailure(endpoint, 'faults')
      if (outcome.copy && outcome.status < 300) this.#learner.offerAnswer(request, outcome.copy)
    }
    if (outcome.kind === 'broken') {
      this.#health.noteFailure(pair.decode.endpoint.number, outcome.reason)
      endBroken(request, res)
    }
    return outcome
  }

  #tell(record: RequestRecord, end: Parameters<RequestRecord['finish']>[0], status: number): void {
    const finished = record.finish(end, status)
    for (const observer of this.#observers) observer.noteFinished(finished)
  }
}

function entrantOf({ caller, prompt, body, startMs, signal }: GenerateRequest): Entrant {
  const { tenant, priority, patienceMs, elsewhereMs } = caller
  const leftMs = patienceMs === null ? null : patienceMs - (performance.now() - startMs)
  return { tenant, priority, prompt, bodyBytes: body.bytes.length, patienceMs: leftMs, elsewhereMs, signal }
}

function endOf(outcome: LegsOutcome) {
  if (outcome.kind === 'aborted') return 'client-left'
  if (outcome.kind === 'broken') return 'broken'
  return outcome.kind === 'answered' && outcome.status < 400 ? 'complete' : 'failed'
}

/** The engine died in mid-stream: a stream says so and ends; a whole answer that was cut short must not look whole. */
function endBroken({ stream, dialect, requestId }: GenerateRequest, res: ServerResponse): void {
  if (!stream) {
    res.destroy()
    return
  }
  const error = new RouteError('upstream_failed', 'The engine ended before the answer was complete.')
  res.end(errorEvent(dialect, errorBody(dialect, error, requestId)))
}
