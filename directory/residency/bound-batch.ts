/** A lookup within its bounds: whoever asks for more than they allow is answered for as much as they do. */
import { MARKERS_MAX } from '../../protocol/ids.ts'
import {
  BOOKINGS_MAX,
  QUESTIONS_MAX,
  SAMPLES_MAX,
  SIGHTINGS_MAX,
  type LookupBatch,
} from '../../protocol/lookup.ts'

const COLO_CHARS_MAX = 64

/** The same batch when it keeps them. Of a prompt with too many markers the deepest count. */
export function boundBatch(batch: LookupBatch): LookupBatch {
  const { isolate, colo, questions, bookings, sightings, known } = batch
  if (isWithin(batch)) return batch
  const bound = (markers: Uint32Array) => markers.subarray(-3 * MARKERS_MAX)
  return {
    isolate,
    known,
    colo: colo.slice(0, COLO_CHARS_MAX),
    questions: questions
      .slice(0, QUESTIONS_MAX)
      .map(({ model, markers }) => ({ model, markers: bound(markers) })),
    bookings: bookings.slice(-BOOKINGS_MAX).map((note) => ({ ...note, markers: bound(note.markers) })),
    sightings: sightings
      .slice(0, SIGHTINGS_MAX)
      .map((sighting) => ({ ...sighting, rttsMs: sighting.rttsMs.slice(-SAMPLES_MAX) })),
  }
}

function isWithin({ colo, questions, bookings, sightings }: LookupBatch): boolean {
  return (
    colo.length <= COLO_CHARS_MAX &&
    questions.length <= QUESTIONS_MAX &&
    bookings.length <= BOOKINGS_MAX &&
    sightings.length <= SIGHTINGS_MAX &&
    questions.every(({ markers }) => markers.length <= 3 * MARKERS_MAX) &&
    bookings.every(({ markers }) => markers.length <= 3 * MARKERS_MAX) &&
    sightings.every(({ rttsMs }) => rttsMs.length <= SAMPLES_MAX)
  )
}
