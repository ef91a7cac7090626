/**
 * What this isolate has just sent where, and no heartbeat can show yet: prefill as virtual load, prompts as speculative
 * residency. Without it a burst sees a frozen queue, and equal new prompts of a burst scatter. Everything expires.
 */
import { BookingNotes } from './booking-notes.ts'
import { Speculations } from './speculations.ts'

/** How long a booking or a speculation may stand, whatever the directory says. */
export const BOOKING_MS_MAX = 2000
/** Bookings remembered of one cluster; the oldest go first. */
const BOOKINGS_MAX = 512

interface Booking {
  readonly atMs: number
  readonly prefillMs: number
}

export class Bookings {
  readonly #notes: BookingNotes
  readonly #bookings = new Map<string, Booking[]>()
  readonly #speculations = new Speculations()

  /** `notes` tells the directories of each booking. */
  constructor(notes: BookingNotes = new BookingNotes()) {
    this.#notes = notes
  }

  /** A request with `prefillMs` of work and these markers goes to `cluster`. */
  book(cluster: string, prefillMs: number, markers: Uint32Array, nowMs: number): void {
    const bookings = this.#bookings.get(cluster) ?? []
    this.#bookings.set(cluster, bookings)
    bookings.push({ atMs: nowMs, prefillMs })
    this.#notes.note(cluster, prefillMs, markers, nowMs)
    while (bookings.length > BOOKINGS_MAX || (bookings[0] && bookings[0].atMs < nowMs - BOOKING_MS_MAX)) {
      bookings.shift()
    }
    this.#speculations.enter(markers, cluster, nowMs + BOOKING_MS_MAX)
  }

  /** The attempt came to nothing: its prompt is not there. The load is left to expire, since some of it may be real. */
  retract(cluster: string, markers: Uint32Array): void {
    this.#notes.retract(cluster, markers)
    this.#speculations.remove(markers, cluster)
  }

  /**
   * Prefill in ms of each request sent to `cluster` that a heartbeat sent there at `heartbeatMs` (on this clock) cannot
   * have counted, oldest first.
   */
  booked(cluster: string, heartbeatMs: number, nowMs: number): number[] {
    const sinceMs = Math.max(heartbeatMs, nowMs - BOOKING_MS_MAX)
    const bookings = this.#bookings.get(cluster) ?? []
    let first = bookings.length
    while (first > 0 && (bookings[first - 1]?.atMs ?? 0) > sinceMs) first--
    return bookings.slice(first).map(({ prefillMs }) => prefillMs)
  }

  /** By cluster: canonical bytes of the prompt that have just been sent there. */
  speculativeBytes(markers: Uint32Array, nowMs: number): ReadonlyMap<string, number> {
    return this.#speculations.deepest(markers, nowMs)
  }
}
