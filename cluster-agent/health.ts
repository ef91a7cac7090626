/**
 * Whether each engine takes requests: polled, and noted from the requests themselves. A failed request takes an endpoint
 * out at once; the circuit breaker brings it back on probation. Metrics tell restarts, sizes and what cannot be true.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Cluster } from './cluster.ts'
import type { EndpointSpec } from './discovery/endpoint-spec.ts'
import { LATE } from './discovery/registry.ts'
import { probe, readBounded } from './engine-probe.ts'
import type { RosterPart } from './roster.ts'
import type { Endpoint } from './routing/endpoint.ts'
import { Breaker, type BreakerState } from './vitals/breaker.ts'
import { isAnotherProcess, readEngineMetrics, type EngineReading } from './vitals/engine-metrics.ts'
import { legsAllowed } from './vitals/ramp.ts'

const INTERVAL_MS = 1000
/** Metrics are large: they are read in every second round. */
const ROUNDS_PER_READING = 2
/** Polls that fail in a row before an endpoint that answers requests is taken out. */
const FAILURES_MAX = 2
/** Legs that an endpoint on probation gets while others can take the rest. */
const PROBATION_LEGS = 1

interface Patient {
  readonly endpoint: string
  readonly url: string
  readonly rank: number | null
  readonly isNewcomer: boolean
  readonly breaker: Breaker
  failedPolls: number
  /** Whether the last of them was only not answered in time. */
  isLate: boolean
  /** When it first answered well, for the ramp. */
  wellSinceMs: number | null
  reading: EngineReading | null
  hasVersion: boolean
  reason: string
  impossible: number
}

export interface HealthState {
  readonly breaker: BreakerState
  readonly reading: EngineReading | null
  /** Values of its metrics that could not be true. */
  readonly impossible: number
}

export interface HealthOptions {
  readonly cluster: Cluster
  /** The engine is another process: what was known of it is not true any more. */
  readonly onRestart: (endpoint: number) => void
  /** The engine fell asleep: its cache is gone, and it says so itself only with its next step. */
  readonly onReset: (endpoint: number) => void
  readonly log: Logger
  readonly intervalMs?: number
}

export class Health implements RosterPart {
  readonly #cluster: Cluster
  readonly #onRestart: (endpoint: number) => void
  readonly #onReset: (endpoint: number) => void
  readonly #log: Logger
  readonly #intervalMs: number
  readonly #stopping = new AbortController()
  readonly #patients = new Map<number, Patient>()
  #round = 0
  #running: Promise<void> = Promise.resolve()
  #hasStarted = false
  readonly counts = { failures: 0, restarts: 0 }

  constructor({ cluster, onRestart, onReset, log, intervalMs = INTERVAL_MS }: HealthOptions) {
    this.#intervalMs = intervalMs
    this.#cluster = cluster
    this.#onRestart = onRestart
    this.#onReset = onReset
    this.#log = log
  }

  /** Resolves after the first round of polls. */
  async start(): Promise<void> {
    await this.#pollAll()
    this.#hasStarted = true
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  open({ number, name }: Endpoint, { url, rank, version }: EndpointSpec): void {
    this.#patients.set(number, {
      endpoint: name,
      url,
      rank: rank ?? null,
      // What is there when the agent starts is not new: it is the agent that is.
      isNewcomer: this.#hasStarted,
      breaker: new Breaker(),
      failedPolls: 0,
      isLate: false,
      wellSinceMs: null,
      reading: null,
      hasVersion: version !== undefined,
      reason: 'unhealthy',
      impossible: 0,
    })
    if (this.#hasStarted) void this.#poll(number, true)
  }

  retire(number: number): void {
    this.#patients.delete(number)
  }

  of(number: number): HealthState | null {
    const patient = this.#patients.get(number)
    if (!patient) return null
    const { breaker, reading, impossible } = patient
    return { breaker: breaker.state, reading, impossible }
  }

  /** A request found the endpoint dead or silent. */
  noteFailure(number: number, reason: string): void {
    const patient = this.#patients.get(number)
    if (!patient) return
    this.counts.failures++
    patient.reason = reason
    patient.breaker.noteFailure(performance.now())
    this.#settle(number, patient)
  }

  /** A request on the endpoint ended well. */
  noteSuccess(number: number): void {
    const patient = this.#patients.get(number)
    if (!patient || patient.breaker.state === 'closed') return
    patient.breaker.noteSuccess()
    this.#settle(number, patient)
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await sleep(this.#intervalMs, undefined, { signal }).catch(() => undefined)
      if (!signal.aborted) await this.#pollAll()
    }
  }

  async #pollAll(): Promise<void> {
    const withMetrics = this.#round++ % ROUNDS_PER_READING === 0
    await Promise.all([...this.#patients.keys()].map((number) => this.#poll(number, withMetrics)))
  }

  async #poll(number: number, withMetrics: boolean): Promise<void> {
    const patient = this.#patients.get(number)
    if (!patient) return
    const { signal } = this.#stopping
    const said = await probe(`${patient.url}/health`, signal)
    const isWell = said.text !== null
    if (isWell && (withMetrics || patient.reading === null)) await this.#read(number, patient)
    if (isWell && !patient.hasVersion) await this.#learnVersion(number, patient)
    // Retired meanwhile: the number may be another's.
    if (this.#patients.get(number) !== patient || signal.aborted) return
    const nowMs = performance.now()
    patient.failedPolls = isWell ? 0 : patient.failedPolls + 1
    patient.isLate = said.isLate
    if (isWell) {
      patient.wellSinceMs ??= nowMs
      patient.breaker.noteWell(nowMs)
    } else if (patient.failedPolls >= FAILURES_MAX) patient.reason = 'unhealthy'
    this.#settle(number, patient)
  }

  async #read(number: number, patient: Patient): Promise<void> {
    const text = await readBounded(`${patient.url}/metrics`, this.#stopping.signal)
    if (text === null || this.#patients.get(number) !== patient) return
    const reading = readEngineMetrics(text, patient.rank, Date.now() / 1000)
    if (reading.impossible.length > 0) {
      if (patient.impossible === 0)
        this.#log.warn(
          { endpoint: patient.endpoint, metrics: reading.impossible },
          'an engine reports what cannot be true; it is ignored',
        )
      patient.impossible += reading.impossible.length
    }
    const hasRestarted = isAnotherProcess(patient.reading, reading)
    if (reading.isAsleep && patient.reading?.isAsleep !== true) this.#onReset(number)
    patient.reading = reading
    this.#cluster.noteMetrics(number, text, performance.now())
    // Events name the block size too, but the first prompt is learnt before the first event.
    if (reading.blockTokens !== null)
      for (const { index } of this.#cluster.states) index.assumeBlockTokens(reading.blockTokens)
    if (!hasRestarted) return
    this.counts.restarts++
    this.#log.warn({ endpoint: patient.endpoint }, 'the engine is another process')
    patient.wellSinceMs = null
    patient.hasVersion = this.#cluster.registry.spec(number)?.version !== undefined
    this.#onRestart(number)
  }

  async #learnVersion(number: number, patient: Patient): Promise<void> {
    const text = await readBounded(`${patient.url}/version`, this.#stopping.signal)
    const version = /"version"\s*:\s*"([^"]{1,64})"/.exec(text ?? '')?.[1]
    if (version === undefined || this.#patients.get(number) !== patient) return
    patient.hasVersion = true
    this.#cluster.registry.learnVersion(number, version)
  }

  /** Tells the registry how the endpoint stands. */
  #settle(number: number, patient: Patient): void {
    const { breaker, wellSinceMs, isNewcomer } = patient
    const fault = faultOf(patient)
    const ageMs = performance.now() - (wellSinceMs ?? 0)
    const legs = breaker.state === 'half-open' ? PROBATION_LEGS : isNewcomer ? legsAllowed(ageMs) : null
    this.#cluster.registry.setLegsMax(number, legs)
    const { endpoint } = patient
    if (this.#cluster.registry.fault(number) === fault) return
    this.#cluster.setUnavailable(number, fault)
    if (fault === null) this.#log.info({ endpoint, legs }, 'endpoint takes requests')
    else this.#log.warn({ endpoint, reason: fault }, 'endpoint is out')
  }
}

function faultOf({ breaker, failedPolls, isLate, wellSinceMs, reading, reason }: Patient): string | null {
  if (breaker.state === 'open' || wellSinceMs === null) return reason
  const isFailing = failedPolls >= FAILURES_MAX
  if (isFailing && !isLate) return reason
  // One that sleeps is asked by nobody, however late it is.
  if (reading?.isAsleep) return 'asleep'
  return isFailing ? LATE : null
}
