/**
 * What this isolate tells directory objects about the requests that it has sent: each object hears of each request once,
 * with the next lookup that goes there. What has waited too long says nothing any more.
 */
import { BOOKINGS_MAX, type BookingNote } from '../../protocol/lookup.ts'

/** A note that waited this long is as good as expired at the directory. */
const NOTE_MS_MAX = 1500
/** Notes kept; the oldest go first. */
const NOTES_MAX = 256
/** Objects remembered; of more, all are told anew, which expires. */
const OBJECTS_MAX = 1024

interface Kept {
  readonly cluster: string
  readonly workMs: number
  readonly markers: Uint32Array
  readonly atMs: number
  readonly number: number
}

export class BookingNotes {
  #notes: Kept[] = []
  #number = 0
  /** The last note that each object has heard. */
  readonly #told = new Map<string, number>()

  note(cluster: string, workMs: number, markers: Uint32Array, nowMs: number): void {
    this.#notes.push({ cluster, workMs, markers, atMs: nowMs, number: ++this.#number })
    if (this.#notes.length > NOTES_MAX) this.#notes.shift()
  }

  /** The attempt came to nothing: who has not heard of it need not. */
  retract(cluster: string, markers: Uint32Array): void {
    this.#notes = this.#notes.filter((note) => note.cluster !== cluster || note.markers !== markers)
  }

  /** The newest of what `object` has not heard yet; `rttMs` of a cluster is how far away it is. */
  take(object: string, rttMs: (cluster: string) => number, nowMs: number): BookingNote[] {
    const told = this.#told.get(object) ?? 0
    if (this.#told.size >= OBJECTS_MAX) this.#told.clear()
    this.#told.set(object, this.#number)
    // They are in the order of their numbers and of their times.
    let first = this.#notes.length
    while (first > 0 && isUntold(this.#notes[first - 1], told, nowMs)) first--
    return this.#notes.slice(Math.max(first, this.#notes.length - BOOKINGS_MAX)).map((note) => ({
      cluster: note.cluster,
      workMs: note.workMs,
      markers: note.markers,
      agoMs: Math.max(nowMs - note.atMs, 0),
      rttMs: rttMs(note.cluster),
    }))
  }
}

function isUntold(note: Kept | undefined, told: number, nowMs: number): boolean {
  return note !== undefined && note.number > told && nowMs - note.atMs < NOTE_MS_MAX
}
