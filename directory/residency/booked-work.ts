/**
 * What edges have sent to clusters and no heartbeat can show yet, as their lookups tell it: work as virtual load, prompts
 * as speculative residency. It lets a burst from many edges neither herd nor scatter. Everything expires.
 */
import { Speculations } from '../../core/speculations.ts'
import type { BookingNote } from '../../protocol/lookup.ts'

/** How long a booking or a speculation may stand, whatever heartbeats say. */
export const BOOKING_MS_MAX = 2000
/** What an agent may take from the arrival of a request to its booking. */
export const AGENT_MS = 50
/** Bookings remembered of one cluster, and told in one answer; the oldest go first. */
export const BOOKINGS_KEPT_MAX = 512
export const BOOKINGS_TOLD_MAX = 64

const NONE: readonly number[] = []

interface Booking {
  readonly isolate: number
  readonly workMs: number
  readonly atMs: number
  /** A heartbeat heard from then on has counted it. */
  readonly shownMs: number
}

export class BookedWork {
  readonly #bookings = new Map<string, Booking[]>()
  readonly #speculations = new Speculations()

  /** Nonsense in a note is as good as no note. */
  note(isolate: number, { cluster, workMs, markers, agoMs, rttMs }: BookingNote, nowMs: number): void {
    if (!(workMs >= 0 && agoMs >= 0 && agoMs < BOOKING_MS_MAX && rttMs >= 0)) return
    const atMs = nowMs - agoMs
    const bookings = this.#bookings.get(cluster) ?? []
    this.#bookings.set(cluster, bookings)
    bookings.push({ isolate, workMs, atMs, shownMs: atMs + rttMs + AGENT_MS })
    while (bookings.length > BOOKINGS_KEPT_MAX || isOver(bookings[0], nowMs)) bookings.shift()
    this.#speculations.enter(markers, cluster, isolate, atMs + BOOKING_MS_MAX)
  }

  /** Work in ms of each request to `cluster` that a heartbeat heard at `heardMs` cannot have counted, oldest first. */
  booked(cluster: string, heardMs: number, asking: number, nowMs: number): readonly number[] {
    const bookings = this.#bookings.get(cluster)
    if (!bookings || bookings.length === 0) return NONE
    const found: number[] = []
    for (const booking of bookings) {
      if (booking.isolate === asking || booking.shownMs <= heardMs || isOver(booking, nowMs)) continue
      found.push(booking.workMs)
    }
    return found.length > BOOKINGS_TOLD_MAX ? found.slice(-BOOKINGS_TOLD_MAX) : found
  }

  /** By cluster: canonical bytes of the prompt that others than `asking` have just sent there. null: none anywhere. */
  speculativeBytes(markers: Uint32Array, asking: number, nowMs: number): ReadonlyMap<string, number> | null {
    return this.#speculations.deepest(markers, asking, nowMs)
  }
}

function isOver(booking: Booking | undefined, nowMs: number): boolean {
  return booking !== undefined && nowMs - booking.atMs >= BOOKING_MS_MAX
}
