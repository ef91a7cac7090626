/**
 * The laws of all endpoints, learnt while they serve. Endpoints are known by name over restarts; a new one begins with
 * what its likes taught: those configured alike.
 */
import type { Foreign } from '../routing/booking-ledger.ts'
import type { Booked } from '../routing/bookings.ts'
import type { Endpoint, EndpointProfile } from '../routing/endpoint.ts'
import { EndpointCalibration, type CostReport, type SavedLaws } from './endpoint-calibration.ts'
import type { CostSample } from './cost-metrics.ts'
import { windowBetween, type MetricsWindow } from './metrics-window.ts'
import { learnFrom, type ServedRequest } from './served-request.ts'

export type SavedCalibration = Readonly<Record<string, SavedLaws>>

interface Entry {
  readonly name: string
  /** The configured profile as text: another one begins anew. */
  readonly key: string
  readonly calibration: EndpointCalibration
  endpoint: Endpoint
  learnt: Endpoint
  last: { readonly sample: CostSample; readonly nowMs: number } | null
}

/** Endpoints whose laws are kept after they left. */
export const SAVED_MAX = 1024
/** Gaps between tokens below which a window says nothing of the step. */
const GAPS_MIN = 16
/** Prefill may take this share of a window: beyond it the steps' own length is not to be seen. */
const BUSY_SHARE_MAX = 0.5
/** A pinned share is learnt from an engine that is filled at least this far. */
const FILLED_MIN = 0.05
/** Of the running sequences, those that only one of agent and engine counts. */
const UNSETTLED_SHARE_MAX = 0.1

export class Calibration {
  readonly #entries = new Map<number, Entry>()
  #saved: Map<string, SavedLaws>
  #list: { readonly of: readonly Endpoint[]; readonly learnt: readonly Endpoint[] } | null = null

  constructor(saved: SavedCalibration = {}) {
    this.#saved = new Map(Object.entries(saved))
  }

  /** The endpoints with their profiles as learnt; the same list as long as nothing has changed. */
  learnt(endpoints: readonly Endpoint[]): readonly Endpoint[] {
    const learnt = endpoints.map((endpoint) => this.#current(endpoint))
    const known = this.#list
    if (known && known.of === endpoints && learnt.every((endpoint, at) => endpoint === known.learnt[at]))
      return known.learnt
    this.#list = { of: endpoints, learnt }
    return learnt
  }

  noteServed(served: ServedRequest): void {
    const prefill = this.#entries.get(served.pair.prefill.endpoint.number)
    const decode = this.#entries.get(served.pair.decode.endpoint.number)
    if (prefill && decode) learnFrom(served, prefill.calibration, decode.calibration)
  }

  /** `booked`: at this moment. */
  noteMetrics(endpoint: Endpoint, sample: CostSample, booked: Booked, nowMs: number): void {
    const entry = this.#entry(endpoint)
    const { calibration, last } = entry
    entry.last = { sample, nowMs }
    calibration.metricsSamples++
    if (sample.kvTokens !== null) calibration.noteCapacity(sample.kvTokens)
    if (!last) return
    const verdict = windowBetween(last.sample, sample, nowMs - last.nowMs)
    if (verdict.kind === 'impossible') calibration.impossibleMetrics++
    if (verdict.kind !== 'window') return
    learnStep(calibration, verdict.window, booked)
    const { loadBytes, loadMs, pullBytes, pullMs } = verdict.window
    if (loadBytes > 0) calibration.noteLoad('cpu', loadBytes, loadMs)
    if (pullBytes > 0) calibration.noteTransfer(pullBytes, pullMs)
    learnSpace(calibration, sample, booked)
  }

  /** KV space, what is pinned of what is booked, and how many sequences are not ours. */
  standing(endpoint: Endpoint): {
    readonly kvTokens: number
    readonly pinnedShare: number
    readonly foreign: Foreign
  } {
    const { profile, pinnedShare, foreign } = this.#entry(endpoint).calibration
    return { kvTokens: profile.kvTokens, pinnedShare, foreign }
  }

  release(number: number): void {
    const entry = this.#entries.get(number)
    if (!entry) return
    this.#keep(entry)
    this.#entries.delete(number)
  }

  report(): CostReport[] {
    return [...this.#entries.values()].map(({ name, calibration }) => calibration.report(name))
  }

  save(): SavedCalibration {
    for (const entry of this.#entries.values()) this.#keep(entry)
    return Object.fromEntries(this.#saved)
  }

  #current(endpoint: Endpoint): Endpoint {
    const entry = this.#entry(endpoint)
    const { profile } = entry.calibration
    if (entry.learnt.profile !== profile || entry.endpoint !== endpoint) {
      entry.endpoint = endpoint
      entry.learnt = { ...endpoint, profile }
    }
    return entry.learnt
  }

  #entry(endpoint: Endpoint): Entry {
    const known = this.#entries.get(endpoint.number)
    const isSame = known?.name === endpoint.name
    if (isSame && (known.endpoint === endpoint || known.key === keyOf(endpoint.profile))) return known
    const key = keyOf(endpoint.profile)
    const calibration = new EndpointCalibration(endpoint.profile)
    const laws = this.#saved.get(endpoint.name) ?? this.#likeOf(key)?.save()
    if (laws) calibration.restore(laws)
    const entry = { name: endpoint.name, key, calibration, endpoint, learnt: endpoint, last: null }
    this.#entries.set(endpoint.number, entry)
    return entry
  }

  #likeOf(key: string): EndpointCalibration | null {
    for (const entry of this.#entries.values())
      if (entry.key === key && entry.calibration.isLearnt) return entry.calibration
    return null
  }

  #keep({ name, calibration }: Entry): void {
    if (!calibration.isLearnt) return
    this.#saved.delete(name)
    this.#saved.set(name, calibration.save())
    for (const oldest of this.#saved.keys()) {
      if (this.#saved.size <= SAVED_MAX) break
      this.#saved.delete(oldest)
    }
  }
}

/**
 * The step of the sequences that decode: the time they spent in gaps is how many there were on average (Little's law), and
 * what prefill took meanwhile is not theirs.
 */
function learnStep(calibration: EndpointCalibration, window: MetricsWindow, { contextTokens }: Booked): void {
  const { spanMs, gaps, gapSumMs, computedTokens } = window
  const busyMs = computedTokens * calibration.profile.prefill.msPerToken
  if (gaps < GAPS_MIN || busyMs > BUSY_SHARE_MAX * spanMs) return
  const sequences = gapSumMs / spanMs
  calibration.noteStep(sequences, contextTokens, (gapSumMs - sequences * busyMs) / gaps)
}

function learnSpace(calibration: EndpointCalibration, sample: CostSample, booked: Booked): void {
  const { running, waiting, kvUsage, kvTokens } = sample
  if (running === null || waiting === null) return
  // An engine may already run what counts as waiting here: together they are compared first.
  const strange = Math.max(running + waiting - booked.decoding - booked.waiting, 0)
  const strangeWaiting = Math.min(Math.max(waiting - booked.waiting, 0), strange)
  calibration.noteForeign({ waiting: strangeWaiting, decoding: strange - strangeWaiting })
  const capacity = kvTokens ?? calibration.configured.kvTokens
  // What waits or comes and goes holds space in one of the two counts only.
  const unsettled = waiting + booked.waiting + Math.abs(running - booked.decoding)
  const isSettled = unsettled <= UNSETTLED_SHARE_MAX * running
  if (kvUsage !== null && isSettled && booked.contextTokens > FILLED_MIN * capacity)
    calibration.notePinned(kvUsage * capacity, booked.contextTokens)
}

function keyOf(profile: EndpointProfile): string {
  return JSON.stringify(profile)
}
