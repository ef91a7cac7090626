/**
 * Requests held above the knee, where binding late keeps the choice open (policy: `room.ts`). Bounded in number, bytes and
 * time. More urgent bands go first, but each lower one is owed a share of what they take; tenants share a band; of one
 * tenant the small pass the large, within limits. Choosing who goes, and that it went, are two calls.
 */
import { FairBand } from './fair-band.ts'
import { BANDS, bandOf, type Band, type Waiting } from './waiting.ts'

export interface QueueLimits {
  readonly requestsMax: number
  readonly bytesMax: number
}

export type RefusalReason = 'queue-full' | 'too-long-a-wait' | 'displaced' | 'waited-too-long' | 'draining'

export type Offer =
  /** It waits. `displaced`: who had to leave for it. */
  | { readonly kind: 'waits'; readonly displaced: readonly Waiting[] }
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly retryAfterMs: number }

/** What each lower band with somebody waiting is owed of the work that a more urgent one takes. */
export const LOWER_BAND_SHARE = 0.1
/** A request that found no KV space for this long is passed by nobody any more, so that the space comes free for it. */
export const INSIST_AFTER_MS = 60_000
/** Over how long the pace of service is averaged. */
const PACE_MS = 10_000
const RETRY_AFTER_MS_MIN = 1000
const RETRY_AFTER_MS_MAX = 60_000

export class AdmissionQueue {
  readonly #limits: QueueLimits
  readonly #bands: Readonly<Record<Band, FairBand>>
  readonly #owedMs: Record<Band, number> = { urgent: 0, usual: 0, patient: 0 }
  readonly #byId = new Map<string, Waiting>()
  #bytes = 0
  /** Work that went in the last `PACE_MS`, older work weighing less, and as of when. */
  #wentMs = 0
  #wentAtMs = 0
  #busySinceMs = 0

  constructor(limits: QueueLimits) {
    this.#limits = limits
    this.#bands = { urgent: new FairBand(), usual: new FairBand(), patient: new FairBand() }
  }

  get size(): number {
    return this.#byId.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** GPU milliseconds that wait. */
  get queuedMs(): number {
    return BANDS.reduce((sum, band) => sum + this.#bands[band].queuedMs, 0)
  }

  sizeOf(band: Band): number {
    return this.#bands[band].size
  }

  /** `endpoints`: how many serve at once, as long as their real pace is not known. */
  offer(waiting: Waiting, endpoints: number, nowMs: number): Offer {
    const waitMs = this.waitMs(waiting, endpoints, nowMs)
    const patienceMs = waiting.deadlineMs - nowMs
    if (waitMs > patienceMs) return refuse('too-long-a-wait', waitMs - Math.max(patienceMs, 0))
    const displaced = this.#makeRoom(waiting)
    if (!displaced) return refuse('queue-full', waitMs)
    if (this.#byId.size === 0) this.#busySinceMs = nowMs
    this.leave(waiting.id)
    this.#byId.set(waiting.id, waiting)
    this.#bytes += waiting.bytes
    this.#bands[bandOf(waiting.priority)].add(waiting)
    return { kind: 'waits', displaced }
  }

  /** How long it would wait: the work that goes before it at the pace of service. Fairness shortens it for the modest. */
  waitMs(waiting: Waiting, endpoints: number, nowMs: number): number {
    const band = bandOf(waiting.priority)
    let aheadMs = 0
    for (const other of BANDS) {
      if (other === band) break
      aheadMs += this.#bands[other].queuedMs
    }
    const own = this.#bands[band]
    const tenants = own.tenants + (own.queuedMsOf(waiting.tenant) > 0 ? 0 : 1)
    aheadMs += Math.min(own.queuedMs, (own.aheadMs(waiting) + waiting.workMs) * tenants)
    return this.size === 0 ? 0 : aheadMs / this.#pace(endpoints, nowMs)
  }

  /** Who may go, by `fits`; it stays in the queue until `serve`. Null: nobody. */
  next(nowMs: number, fits: (waiting: Waiting) => boolean): Waiting | null {
    const insists = ({ arrivedMs }: Waiting) => nowMs - arrivedMs >= INSIST_AFTER_MS
    for (const band of BANDS.toReversed()) {
      if (this.#owedMs[band] <= 0) continue
      const owed = this.#bands[band].next(fits, insists)
      if (owed && owed.workMs <= this.#owedMs[band]) return owed
    }
    for (const band of BANDS) {
      const waiting = this.#bands[band].next(fits, insists)
      if (waiting) return waiting
      if ([...this.#bands[band].all()].some(insists)) return null
    }
    return null
  }

  serve(waiting: Waiting, nowMs: number): void {
    const band = bandOf(waiting.priority)
    this.#bands[band].serve(waiting)
    this.#forget(waiting)
    this.#owedMs[band] = Math.max(this.#owedMs[band] - waiting.workMs, 0)
    for (const lower of BANDS.slice(BANDS.indexOf(band) + 1)) {
      const waits = this.#bands[lower].size > 0
      this.#owedMs[lower] = waits ? this.#owedMs[lower] + LOWER_BAND_SHARE * waiting.workMs : 0
    }
    this.#wentMs = this.#wentRecently(nowMs) + waiting.workMs
    this.#wentAtMs = nowMs
  }

  /** Its client left, or it is refused: its place is free at once. */
  leave(id: string): Waiting | null {
    const waiting = this.#byId.get(id)
    if (!waiting) return null
    this.#bands[bandOf(waiting.priority)].remove(waiting)
    this.#forget(waiting)
    return waiting
  }

  /** Takes out those whose time is over. */
  expire(nowMs: number): Waiting[] {
    const late = [...this.#byId.values()].filter(({ deadlineMs }) => deadlineMs <= nowMs)
    for (const { id } of late) this.leave(id)
    return late
  }

  /** Everybody, out. */
  clear(): Waiting[] {
    const all = [...this.#byId.values()]
    for (const { id } of all) this.leave(id)
    return all
  }

  /** Who leaves so that it can come in; null: nobody whose place it may take. */
  #makeRoom(waiting: Waiting): readonly Waiting[] | null {
    const { requestsMax, bytesMax } = this.#limits
    if (waiting.bytes > bytesMax) return null
    const displaced: Waiting[] = []
    const isFull = () => this.#byId.size >= requestsMax || this.#bytes + waiting.bytes > bytesMax
    while (isFull()) {
      const victim = this.#victim(waiting)
      if (!victim) {
        for (const back of displaced) this.#restore(back)
        return null
      }
      this.leave(victim.id)
      displaced.push(victim)
    }
    return displaced
  }

  /** The last of whom holds most of the least urgent band, if it is less urgent or holds more than the newcomer would. */
  #victim(waiting: Waiting): Waiting | null {
    const band = bandOf(waiting.priority)
    const lowest = BANDS.toReversed().find((name) => this.#bands[name].size > 0)
    if (lowest === undefined || BANDS.indexOf(lowest) < BANDS.indexOf(band)) return null
    const flows = this.#bands[lowest]
    const victim = flows.last()
    if (!victim || lowest !== band) return victim
    const newcomerMs = flows.queuedMsOf(waiting.tenant) + waiting.workMs
    return victim.tenant !== waiting.tenant && flows.queuedMsOf(victim.tenant) > newcomerMs ? victim : null
  }

  #restore(waiting: Waiting): void {
    this.#byId.set(waiting.id, waiting)
    this.#bytes += waiting.bytes
    this.#bands[bandOf(waiting.priority)].add(waiting)
  }

  #forget(waiting: Waiting): void {
    if (!this.#byId.delete(waiting.id)) return
    this.#bytes -= waiting.bytes
    if (this.#byId.size > 0) return
    for (const band of BANDS) this.#owedMs[band] = 0
  }

  /** GPU milliseconds that go in a millisecond: as seen lately, or one for each endpoint while little was seen. */
  #pace(endpoints: number, nowMs: number): number {
    const assumed = Math.max(endpoints, 1)
    const seenMs = Math.min(nowMs - this.#busySinceMs, PACE_MS)
    if (seenMs < PACE_MS / 4) return assumed
    return Math.max(this.#wentRecently(nowMs) / seenMs, assumed / 32)
  }

  #wentRecently(nowMs: number): number {
    return this.#wentMs * Math.exp(-Math.max(nowMs - this.#wentAtMs, 0) / PACE_MS)
  }
}

function refuse(reason: RefusalReason, inMs: number): Offer {
  const retryAfterMs = Math.min(Math.max(inMs, RETRY_AFTER_MS_MIN), RETRY_AFTER_MS_MAX)
  return { kind: 'refused', reason, retryAfterMs }
}
