/**
 * What this isolate has just sent where, and no heartbeat can show yet: prefill as virtual load, prompts as speculative
 * residency. Without it a burst sees a frozen queue, and equal new prompts of a burst scatter. Everything expires.
 */
import { markerKeyNumber } from '../../core/key-number.ts'
import { BookingNotes } from './booking-notes.ts'

/** How long a booking or a speculation may stand, whatever the directory says. */
export const BOOKING_MS_MAX = 2000
/** Bookings remembered of one cluster; the oldest go first. */
const BOOKINGS_MAX = 512
/** Speculative markers remembered; the oldest go first. */
const SPECULATIONS_MAX = 16_384

interface Booking {
  readonly atMs: number
  readonly prefillMs: number
}

interface Speculation {
  readonly clusters: Map<string, number>
}

export class Bookings {
  readonly #notes: BookingNotes
  readonly #bookings = new Map<string, Booking[]>()
  readonly #speculations = new Map<number, Speculation>()

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
    for (let marker = 0; marker + 2 < markers.length; marker += 3) {
      this.#speculate(markerKeyNumber(markers, marker), cluster, nowMs + BOOKING_MS_MAX)
    }
  }

  /** The attempt came to nothing: its prompt is not there. The load is left to expire, since some of it may be real. */
  retract(cluster: string, markers: Uint32Array): void {
    this.#notes.retract(cluster, markers)
    for (let marker = 0; marker + 2 < markers.length; marker += 3) {
      this.#speculations.get(markerKeyNumber(markers, marker))?.clusters.delete(cluster)
    }
  }

  /**
   * Prefill in ms of each request sent to `cluster` that a heartbeat sent there at `heartbeatMs` (on this clock) cannot
   * have counted, oldest first.
   */
  booked(cluster: string, heartbeatMs: number, nowMs: number): number[] {
    const sinceMs = Math.max(heartbeatMs, nowMs - BOOKING_MS_MAX)
    const bookings = this.#bookings.get(cluster) ?? []
    return bookings.flatMap(({ atMs, prefillMs }) => (atMs > sinceMs ? [prefillMs] : []))
  }

  /** By cluster: canonical bytes of the prompt that have just been sent there. */
  speculativeBytes(markers: Uint32Array, nowMs: number): ReadonlyMap<string, number> {
    const found = new Map<string, number>()
    for (let marker = markers.length - 3; marker >= 0; marker -= 3) {
      const speculation = this.#speculations.get(markerKeyNumber(markers, marker))
      if (!speculation) continue
      for (const [cluster, untilMs] of speculation.clusters) {
        if (untilMs > nowMs && !found.has(cluster)) found.set(cluster, markers[marker] ?? 0)
      }
    }
    return found
  }

  #speculate(key: number, cluster: string, untilMs: number): void {
    const speculation = this.#speculations.get(key) ?? { clusters: new Map<string, number>() }
    speculation.clusters.set(cluster, untilMs)
    // Entered anew, so that the map's order is that of use.
    this.#speculations.delete(key)
    this.#speculations.set(key, speculation)
    if (this.#speculations.size <= SPECULATIONS_MAX) return
    const oldest = this.#speculations.keys().next()
    if (!oldest.done) this.#speculations.delete(oldest.value)
  }
}
