/**
 * Who asks a directory object, and who rides along: a request that finds enough calls in the air waits for the next one,
 * which takes everybody's questions. A call departs about every `DEPARTURE_MS`, however far the object is. Plain values
 * and callbacks only: each waiter makes its own promise (reference/hot-path.md, trap 2).
 */
import { QUESTIONS_MAX } from '../../protocol/lookup.ts'

/** What a waiting request is told: its answer (null: there is none), or that it asks for all that wait. */
export type Turn<A> = { readonly kind: 'answer'; readonly answer: A | null } | { readonly kind: 'lead' }

interface Rider<Q, A> {
  readonly question: Q
  readonly settle: (turn: Turn<A>) => void
}

export interface Flight<Q, A> {
  readonly questions: readonly Q[]
  readonly riders: readonly Rider<Q, A>[]
  readonly departedMs: number
}

export const DEPARTURE_MS = 2
/** Calls in the air at most. */
export const FLIGHTS_MAX = 8
/** A call whose request has gone never lands; it holds up nobody for longer than this. */
export const FLIGHT_MS_MAX = 50
/** Requests that may wait; one more is told that there is no answer. */
export const WAITING_MAX = 8 * QUESTIONS_MAX
const DURATION_WEIGHT = 0.2

export class LookupDesk<Q, A> {
  readonly #flights = new Set<Flight<Q, A>>()
  #waiting: Rider<Q, A>[] = []
  #durationMs = 0
  /** When a waiter was told to lead and has not departed yet. */
  #promotedMs: number | null = null

  /** Calls in the air and requests that wait. */
  get flying(): number {
    return this.#flights.size
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Whether a request that comes now asks by itself. */
  mayLead(nowMs: number): boolean {
    this.#forgetLost(nowMs)
    return this.#flights.size + Number(this.#promotedMs !== null) < this.#flightsMax
  }

  /** Waits for a call to take the question along; `settle` is called once, if ever: the request minds its own bound. */
  wait(question: Q, settle: (turn: Turn<A>) => void): void {
    if (this.#waiting.length >= WAITING_MAX) settle({ kind: 'answer', answer: null })
    else this.#waiting.push({ question, settle })
  }

  /** The call departs with the leader's question and those that wait. */
  depart(question: Q, nowMs: number): Flight<Q, A> {
    this.#promotedMs = null
    const riders = this.#waiting.splice(0, QUESTIONS_MAX - 1)
    const questions = [question, ...riders.map((rider) => rider.question)]
    const flight = { questions, riders, departedMs: nowMs }
    this.#flights.add(flight)
    return flight
  }

  /** The call came back, with an answer for each question or with none at all: nobody is left waiting for it. */
  land(flight: Flight<Q, A>, answers: readonly A[] | null, nowMs: number): void {
    if (this.#flights.delete(flight) && answers !== null) {
      this.#durationMs += DURATION_WEIGHT * (Math.max(nowMs - flight.departedMs, 0) - this.#durationMs)
    }
    for (const [index, rider] of flight.riders.entries()) {
      rider.settle({ kind: 'answer', answer: answers?.[index + 1] ?? null })
    }
    this.#promote(nowMs)
  }

  get #flightsMax(): number {
    return Math.min(Math.max(Math.ceil(this.#durationMs / DEPARTURE_MS), 1), FLIGHTS_MAX)
  }

  /** The first that waits asks for all of them. */
  #promote(nowMs: number): void {
    if (this.#promotedMs !== null || this.#flights.size >= this.#flightsMax) return
    const next = this.#waiting.shift()
    if (!next) return
    this.#promotedMs = nowMs
    next.settle({ kind: 'lead' })
  }

  #forgetLost(nowMs: number): void {
    for (const flight of this.#flights) {
      if (nowMs - flight.departedMs > FLIGHT_MS_MAX) this.#flights.delete(flight)
    }
    if (this.#promotedMs !== null && nowMs - this.#promotedMs > FLIGHT_MS_MAX) this.#promotedMs = null
  }
}
