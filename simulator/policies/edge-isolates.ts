/**
 * The isolates of an edge in one region and what their directory lets them know of each other: production's bookings and
 * notes, with the directory's answer laid out as lookups get it.
 */
import { BookedWork } from '../../directory/residency/booked-work.ts'
import { BookingNotes } from '../../worker/memory/booking-notes.ts'
import { Bookings } from '../../worker/memory/bookings.ts'
import { SharedPrefixes } from '../../worker/memory/shared-prefixes.ts'

/** What notes of an isolate wait under: one region has one directory here. */
const DIRECTORY = 'directory'

interface Isolate {
  readonly notes: BookingNotes
  readonly bookings: Bookings
  readonly shared: SharedPrefixes
}

export class EdgeIsolates {
  private readonly isolates: readonly Isolate[]
  private readonly booked = new BookedWork()
  private readonly rttMs: (cluster: string) => number

  constructor(count: number, rttMs: (cluster: string) => number) {
    this.isolates = Array.from({ length: count }, () => {
      const notes = new BookingNotes()
      return { notes, bookings: new Bookings(notes), shared: new SharedPrefixes() }
    })
    this.rttMs = rttMs
  }

  of(isolate: number): Isolate {
    const found = this.isolates[isolate]
    if (!found) throw new RangeError(`no isolate ${isolate}`)
    return found
  }

  /** What an isolate's lookup brings along. */
  tell(isolate: number, nowMs: number): void {
    for (const note of this.of(isolate).notes.take(DIRECTORY, this.rttMs, nowMs)) {
      this.booked.note(isolate, note, nowMs)
    }
  }

  /** Work of others, in ms, that a heartbeat heard at `heardMs` cannot show. */
  othersBooked(isolate: number, cluster: string, heardMs: number, nowMs: number): readonly number[] {
    return this.booked.booked(cluster, heardMs, isolate, nowMs)
  }

  /** By cluster: bytes of the prompt that others have just sent there. */
  othersSpeculativeBytes(isolate: number, markers: Uint32Array, nowMs: number): ReadonlyMap<string, number> {
    return this.booked.speculativeBytes(markers, isolate, nowMs) ?? new Map()
  }
}
