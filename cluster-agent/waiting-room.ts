/**
 * Holds requests above the knee: the clock and the promises around `admission/`. A request goes at once while there is room
 * and nobody waits. A client that leaves frees its place; who cannot be served in time is told when to come again.
 */
import { RouteError } from '../protocol/errors.ts'
import { AdmissionQueue, type RefusalReason } from './admission/queue.ts'
import { Room } from './admission/room.ts'
import type { Waiting } from './admission/waiting.ts'
import type { Cluster, Prompt } from './cluster.ts'
import { isBetterElsewhere } from './elsewhere.ts'
import { gpuMs, predictedMs, selectPair } from './routing/select.ts'

/** How often held requests are looked at. Far below `holdMs`: no endpoint runs dry in between. */
const LOOK_MS = 10
const RETRY_AFTER_MS = 1000

const REASONS: Readonly<Record<RefusalReason, string>> = {
  'queue-full': 'The queue of this cluster is full.',
  'too-long-a-wait': 'The wait for this cluster is longer than the request may take.',
  displaced: 'More urgent requests took the place in the queue of this cluster.',
  'waited-too-long': 'The wait for this cluster took longer than was predicted.',
  draining: 'This cluster takes no requests any more.',
}

export interface Entrant {
  readonly tenant: string
  readonly priority: number
  readonly prompt: Prompt
  readonly bodyBytes: number
  /** How long the caller goes on waiting for the first byte; null: as long as it takes. */
  readonly patienceMs: number | null
  /** As in `Caller`. */
  readonly elsewhereMs: number | null
  readonly signal: AbortSignal
}

interface Held {
  readonly waiting: Waiting
  go(): void
  refuse(reason: RefusalReason, retryAfterMs: number): void
}

export class WaitingRoom {
  readonly #cluster: Cluster
  readonly #queue: AdmissionQueue
  readonly #held = new Map<string, Held>()
  #timer: NodeJS.Timeout | undefined
  #ids = 0
  #isClosed = false
  /** Requests that went at once, that were held, and that were refused, since the start. */
  readonly counts = { passed: 0, held: 0, refused: 0, left: 0 }

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    this.#queue = cluster.queue
  }

  /** Resolves when the request may go, false when its client left. Rejects with `overloaded` when it cannot go in time. */
  async enter(entrant: Entrant): Promise<boolean> {
    if (entrant.signal.aborted) return false
    const nowMs = performance.now()
    const { prompt } = entrant
    const room = this.#room(nowMs)
    const state = this.#cluster.state(prompt.model)
    // Without an endpoint the refusal is another one, and not ours.
    const isEmpty = this.#queue.size === 0
    if (room.endpoints === 0 || (isEmpty && room.fits(state.ratio.tokens(prompt.promptBytes)))) {
      this.counts.passed++
      return true
    }
    if (this.#isClosed) throw this.#refusal('draining', RETRY_AFTER_MS)
    const waiting = this.#waitingOf(entrant, nowMs)
    if (!waiting) return true
    const offer = this.#queue.offer(waiting, room.endpoints, nowMs)
    if (offer.kind === 'refused') throw this.#refusal(offer.reason, offer.retryAfterMs)
    for (const { id } of offer.displaced) this.#held.get(id)?.refuse('displaced', RETRY_AFTER_MS)
    this.counts.held++
    return this.#hold(waiting, entrant.signal)
  }

  /** Refuses everybody who waits, and who would from now on. */
  close(): void {
    this.#isClosed = true
    for (const { id } of this.#queue.clear()) this.#held.get(id)?.refuse('draining', RETRY_AFTER_MS)
    clearInterval(this.#timer)
  }

  #hold(waiting: Waiting, signal: AbortSignal): Promise<boolean> {
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS)
    return new Promise((resolve, reject) => {
      const settle = () => {
        this.#held.delete(waiting.id)
        signal.removeEventListener('abort', onAbort)
      }
      const onAbort = () => {
        settle()
        this.#queue.leave(waiting.id)
        this.counts.left++
        resolve(false)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#held.set(waiting.id, {
        waiting,
        go: () => {
          settle()
          resolve(true)
        },
        refuse: (reason, retryAfterMs) => {
          settle()
          reject(this.#refusal(reason, retryAfterMs))
        },
      })
    })
  }

  #look(): void {
    const nowMs = performance.now()
    for (const { id } of this.#queue.expire(nowMs))
      this.#held.get(id)?.refuse('waited-too-long', RETRY_AFTER_MS)
    const room = this.#room(nowMs)
    const fits = ({ kvTokens }: Waiting) => room.endpoints === 0 || room.fits(kvTokens)
    for (let next = this.#queue.next(nowMs, fits); next; next = this.#queue.next(nowMs, fits)) {
      this.#queue.serve(next, nowMs)
      room.take(next.workMs, next.kvTokens)
      this.#held.get(next.id)?.go()
    }
    if (this.#queue.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #room(nowMs: number): Room {
    const { endpoints, bookings, config } = this.#cluster
    const places = endpoints
      .filter(({ number }) => this.#cluster.unavailable(number) === null)
      .map((endpoint) => ({ endpoint, load: bookings.load(endpoint.number, nowMs) }))
    return new Room(places, config.admission.holdMs)
  }

  /** Null: nothing is gained by holding it, since nothing can be said of it or another cluster is the better choice. */
  #waitingOf(entrant: Entrant, nowMs: number): Waiting | null {
    const { tenant, priority, prompt, bodyBytes, patienceMs, elsewhereMs } = entrant
    const { size, candidates } = this.#cluster.price(prompt, nowMs)
    const [best] = selectPair(candidates, size).ranked
    if (!best || isBetterElsewhere(best.candidate, elsewhereMs)) return null
    const serviceMs = predictedMs(best.candidate) - best.candidate.queueMs
    const { waitMsMax } = this.#cluster.config.admission
    return {
      id: String(this.#ids++),
      tenant,
      priority,
      workMs: gpuMs(best.candidate, size),
      kvTokens: size.promptTokens,
      bytes: bodyBytes,
      arrivedMs: nowMs,
      deadlineMs: nowMs + Math.min(waitMsMax, patienceMs === null ? waitMsMax : patienceMs - serviceMs),
    }
  }

  #refusal(reason: RefusalReason, retryAfterMs: number): RouteError {
    this.counts.refused++
    return new RouteError('overloaded', `${REASONS[reason]} (${reason})`, { retryAfterMs })
  }
}
