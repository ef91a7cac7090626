/**
 * What this isolate tells directory objects about the requests that it has sent: each object hears of each request once,
 * with the next lookup that goes there. What has waited too long says nothing any more.
 */
import { BOOKINGS_MAX, type BookingNote } from '../../protocol/lookup.ts'

/** A note that waited this long is as good as expired at the directory. */
const NOTE_MS_MAX = 1500
/** Notes kept; the oldest go first. */
const NOTES_MAX = 256

interface Kept {
  readonly cluster: string
  readonly workMs: number
  readonly markers: Uint32Array
  readonly atMs: number
  readonly toldTo: Set<string>
}

export class BookingNotes {
  #notes: Kept[] = []

  note(cluster: string, workMs: number, markers: Uint32Array, nowMs: number): void {
    this.#notes.push({ cluster, workMs, markers, atMs: nowMs, toldTo: new Set() })
    if (this.#notes.length > NOTES_MAX) this.#notes.shift()
  }

  /** The attempt came to nothing: who has not heard of it need not. */
  retract(cluster: string, markers: Uint32Array): void {
    this.#notes = this.#notes.filter((note) => note.cluster !== cluster || note.markers !== markers)
  }

  /** What `object` has not heard yet; `rttMs` of a cluster is how far away it is. */
  take(object: string, rttMs: (cluster: string) => number, nowMs: number): BookingNote[] {
    this.#notes = this.#notes.filter(({ atMs }) => nowMs - atMs < NOTE_MS_MAX)
    const untold = this.#notes.filter(({ toldTo }) => !toldTo.has(object)).slice(-BOOKINGS_MAX)
    return untold.map(({ cluster, workMs, markers, atMs, toldTo }) => {
      toldTo.add(object)
      return { cluster, workMs, markers, agoMs: Math.max(nowMs - atMs, 0), rttMs: rttMs(cluster) }
    })
  }
}
