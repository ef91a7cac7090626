/**
 * Predicted against reported, for each endpoint, with a diagnosis by name when they drift. Belief in blocks that are not
 * there heals: the endpoint's residency is forgotten and replayed.
 */
import type { Logger } from 'pino'
import type { Cluster } from './cluster.ts'
import type { EventSources } from './event-sources.ts'
import type { Health } from './health.ts'
import type { FinishedRequest, RequestObserver } from './finished-request.ts'
import type { RosterPart } from './roster.ts'
import type { Endpoint } from './routing/endpoint.ts'
import { diagnose, DIAGNOSES, OBSERVED_MIN, type Diagnosis } from './vitals/diagnosis.ts'
import { Predictions, type PredictionSummary } from './vitals/predictions.ts'

/** An endpoint is replayed for this at most so often: if it does not help, it is not the cure. */
const HEAL_INTERVAL_MS = 60_000
/** Requests of an endpoint between two judgements: they look at the whole window. */
const JUDGED_EVERY = 8
const BLOCK_TOKENS_USUAL = 16

interface EndpointRecord {
  readonly name: string
  readonly predictions: Predictions
  diagnosis: Diagnosis | null
  healedMs: number
  /** Requests since it was judged last. */
  unjudged: number
}

export interface AccuracyState {
  readonly summary: PredictionSummary
  readonly diagnosis: Diagnosis | null
}

export class Accuracy implements RequestObserver, RosterPart {
  readonly #cluster: Cluster
  readonly #sources: EventSources
  readonly #health: Health
  readonly #log: Logger
  readonly #records = new Map<number, EndpointRecord>()
  readonly #numbers = new Map<string, number>()
  readonly counts = { healed: 0 }

  constructor(cluster: Cluster, sources: EventSources, health: Health, log: Logger) {
    this.#cluster = cluster
    this.#sources = sources
    this.#health = health
    this.#log = log
  }

  open({ number, name }: Endpoint): void {
    this.#records.set(number, {
      name,
      predictions: new Predictions(),
      diagnosis: null,
      healedMs: Number.NEGATIVE_INFINITY,
      unjudged: 0,
    })
    this.#numbers.set(name, number)
  }

  retire(number: number): void {
    const record = this.#records.get(number)
    this.#records.delete(number)
    if (record && this.#numbers.get(record.name) === number) this.#numbers.delete(record.name)
  }

  noteFinished(request: FinishedRequest): void {
    const { prefillEndpoint, decodeEndpoint, end } = request
    if (end !== 'complete' || request.status >= 300) return
    for (const name of new Set([prefillEndpoint, decodeEndpoint])) {
      const number = name === null ? undefined : this.#numbers.get(name)
      if (number !== undefined) this.#health.noteSuccess(number)
    }
    // A hand-off reports what the prefill engine had.
    const number = prefillEndpoint === null ? undefined : this.#numbers.get(prefillEndpoint)
    const record = number === undefined ? undefined : this.#records.get(number)
    if (number === undefined || !record || !request.isForeseeable) return
    record.predictions.note({ ...request, mayMissEvents: this.#mayMissEvents(number) })
    if (++record.unjudged < JUDGED_EVERY) return
    record.unjudged = 0
    this.#judge(number, record)
  }

  of(number: number): AccuracyState | null {
    const record = this.#records.get(number)
    return record
      ? { summary: record.predictions.summary(this.#toleranceTokens()), diagnosis: record.diagnosis }
      : null
  }

  #judge(number: number, record: EndpointRecord): void {
    const diagnosis = this.#diagnose(number, record)
    // After a cure the verdict stands until enough was seen to say that it helped.
    const { reported } = record.predictions.summary(this.#toleranceTokens())
    if (diagnosis === null && record.diagnosis !== null && reported < OBSERVED_MIN) return
    if (diagnosis !== record.diagnosis) {
      record.diagnosis = diagnosis
      const { name: endpoint } = record
      if (diagnosis === null) this.#log.info({ endpoint }, 'predictions of cached tokens come true again')
      else
        this.#log.warn(
          { endpoint, diagnosis, advice: DIAGNOSES[diagnosis] },
          'predictions of cached tokens drift',
        )
    }
    const nowMs = performance.now()
    if (nowMs - record.healedMs < HEAL_INTERVAL_MS) return
    // What is known is true while something is missing: it stands until the engine has said everything again.
    if (diagnosis === 'stale-residency') this.#sources.resync(number)
    else if (diagnosis !== 'missing-events' || !this.#mayMissEvents(number) || !this.#sources.reread(number))
      return
    record.healedMs = nowMs
    record.predictions.forget()
    this.counts.healed++
  }

  #mayMissEvents(number: number): boolean {
    return this.#sources.of(number)?.mayMissEvents ?? true
  }

  #diagnose(number: number, { predictions }: EndpointRecord): Diagnosis | null {
    const reading = this.#health.of(number)?.reading ?? null
    const events = this.#sources.of(number)
    const roots = this.#sources.rootsOf(number)
    const spec = this.#cluster.registry.spec(number)
    return diagnose({
      predictions: predictions.summary(this.#toleranceTokens()),
      hasPrefixCache: reading?.hasPrefixCache ?? null,
      engineHits: reading?.cacheHits ?? null,
      engineBlockTokens: reading?.blockTokens ?? null,
      eventBlockTokens: roots.blockTokens,
      eventMessages: events?.counts.messages ?? 0,
      saltedRoots: roots.salted,
      unsaltedRoots: roots.unsalted,
      differsFromGoodPeers: () => this.#differsFromGoodPeers(number),
      sharesTiers: spec?.peerTier !== undefined || spec?.profile.peerPull !== undefined,
      sameHashes: roots.sameHashes,
      otherHashes: roots.otherHashes,
    })
  }

  /** Whether endpoints of another version predict well, and none of this one's version does. */
  #differsFromGoodPeers(number: number): boolean {
    const version = this.#cluster.registry.endpoint(number)?.version
    const good = this.#cluster.endpoints.filter((endpoint) => {
      const record = endpoint.number === number ? undefined : this.#records.get(endpoint.number)
      if (!record || record.diagnosis !== null) return false
      const { reported, exact } = record.predictions.summary(this.#toleranceTokens())
      return reported >= OBSERVED_MIN && exact === reported
    })
    return good.length > 0 && good.every((endpoint) => endpoint.version !== version)
  }

  #toleranceTokens(): number {
    return Math.max(...this.#cluster.states.map(({ index }) => index.blockTokens), 0) || BLOCK_TOKENS_USUAL
  }
}
