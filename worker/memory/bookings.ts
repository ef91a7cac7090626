/**
 * What this isolate has just sent where, and no heartbeat can show yet: prefill as virtual load, prompts as speculative
 * residency. Without it a burst sees a frozen queue, and equal new prompts of a burst scatter. Everything expires.
 */
import { Speculations } from '../../core/speculations.ts'
import { BookingNotes } from './booking-notes.ts'

/** How long a booking or a speculation may stand, whatever the directory says. */
export const BOOKING_MS_MAX = 2000
/** Bookings of one cluster that count; the oldest go first. */
const BOOKINGS_MAX = 512

/** Here nobody else sends. */
const SELF = 0
const NOWHERE: ReadonlyMap<string, number> = new Map()

/** In the order in which they were made. Numbers only: hundreds are read for each request. */
interface Sent {
  readonly atMs: number[]
  readonly prefillMs: number[]
}

export class Bookings {
  readonly #notes: BookingNotes
  readonly #sent = new Map<string, Sent>()
  readonly #speculations = new Speculations()

  /** `notes` tells the directories of each booking. */
  constructor(notes: BookingNotes = new BookingNotes()) {
    this.#notes = notes
  }

  /** A request with `prefillMs` of work and these markers goes to `cluster`. */
  book(cluster: string, prefillMs: number, markers: Uint32Array, nowMs: number): void {
    const sent = this.#sent.get(cluster) ?? { atMs: [], prefillMs: [] }
    this.#sent.set(cluster, sent)
    sent.atMs.push(nowMs)
    sent.prefillMs.push(prefillMs)
    if (sent.atMs.length >= 2 * BOOKINGS_MAX) {
      sent.atMs.splice(0, BOOKINGS_MAX)
      sent.prefillMs.splice(0, BOOKINGS_MAX)
    }
    this.#notes.note(cluster, prefillMs, markers, nowMs)
    this.#speculations.enter(markers, cluster, SELF, nowMs + BOOKING_MS_MAX)
  }

  /** The attempt came to nothing: its prompt is not there. The load is left to expire, since some of it may be real. */
  retract(cluster: string, markers: Uint32Array): void {
    this.#notes.retract(cluster, markers)
    this.#speculations.remove(markers, cluster)
  }

  /**
   * Prefill in ms of each request sent to `cluster` that a heartbeat sent there at `heartbeatMs` (on this clock) cannot
   * have counted, oldest first, in an array of the caller's own.
   */
  booked(cluster: string, heartbeatMs: number, nowMs: number): number[] {
    const sinceMs = Math.max(heartbeatMs, nowMs - BOOKING_MS_MAX)
    const sent = this.#sent.get(cluster)
    if (!sent) return []
    const { atMs, prefillMs } = sent
    const oldest = Math.max(atMs.length - BOOKINGS_MAX, 0)
    let first = atMs.length
    while (first > oldest && (atMs[first - 1] ?? 0) > sinceMs) first--
    return prefillMs.slice(first)
  }

  /** By cluster: canonical bytes of the prompt that have just been sent there. */
  speculativeBytes(markers: Uint32Array, nowMs: number): ReadonlyMap<string, number> {
    return this.#speculations.deepest(markers, null, nowMs) ?? NOWHERE
  }
}
