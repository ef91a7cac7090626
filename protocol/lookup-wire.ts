/**
 * A lookup as it crosses the call of an object: one string of code units (`code-units.ts`), since structured values cost
 * more of a call than all that the directory does. `lookup-packing.ts` has the answer.
 *
 *     u16 wire | u32 isolate | name colo
 *     u16 count, each question:  name model | f64 known version | markers
 *     u16 count, each booking:   name cluster | f64 workMs | f64 agoMs | f64 rttMs | markers
 *     u16 count, each sighting:  name cluster | u32 successes | u32 failures | u16 count | f64 rttMs ...
 *
 * A name is a u16 length and its units. Markers are a u16 count of words and the words, which begin at an even place: they
 * are looked at where they lie.
 */
import { UnitReader, unitsOfText, UnitWriter, type Units, type UnitsOf } from './code-units.ts'
import type { BookingNote, LookupBatch, LookupRequest, Sighting } from './lookup.ts'

/** The form of both directions. While a rollout mixes two, a lookup in the other is none: its answer is empty. */
export const LOOKUP_WIRE = 1

const WRITER = new UnitWriter()
const READER = new UnitReader()
const NO_MARKERS = new Uint32Array(0)

/** Valid until the next call. */
export function encodeBatch({ isolate, colo, questions, bookings, sightings, known }: LookupBatch): Units {
  const out = WRITER.restart()
  out.u16(LOOKUP_WIRE)
  out.u32(isolate)
  out.name(colo)
  out.u16(questions.length)
  for (let at = 0; at < questions.length; at++) {
    const { model, markers } = questions[at] as LookupRequest
    out.name(model)
    out.f64(known[at] ?? 0)
    writeMarkers(out, markers)
  }
  out.u16(bookings.length)
  for (const { cluster, workMs, agoMs, rttMs, markers } of bookings) {
    out.name(cluster)
    out.f64(workMs)
    out.f64(agoMs)
    out.f64(rttMs)
    writeMarkers(out, markers)
  }
  out.u16(sightings.length)
  for (const { cluster, successes, failures, rttsMs } of sightings) {
    out.name(cluster)
    out.u32(successes)
    out.u32(failures)
    out.u16(rttsMs.length)
    for (const rttMs of rttsMs) out.f64(rttMs)
  }
  return out
}

/** null for anything that is no lookup. Markers are views of the array that `unitsOf` gives. */
export function decodeBatch(text: string, unitsOf: UnitsOf = unitsOfText): LookupBatch | null {
  const from = READER.restart(text)
  if (from.u16() !== LOOKUP_WIRE) return null
  const units = unitsOf(text)
  const isolate = from.u32()
  const colo = from.name()
  const questions: LookupRequest[] = []
  const known: number[] = []
  for (let left = from.u16(); left > 0 && !from.isShort; left--) {
    const model = from.name()
    known.push(from.f64())
    questions.push({ model, markers: readMarkers(from, units) })
  }
  const bookings: BookingNote[] = []
  for (let left = from.u16(); left > 0 && !from.isShort; left--) {
    const [cluster, workMs, agoMs, rttMs] = [from.name(), from.f64(), from.f64(), from.f64()]
    bookings.push({ cluster, workMs, agoMs, rttMs, markers: readMarkers(from, units) })
  }
  const sightings: Sighting[] = []
  for (let left = from.u16(); left > 0 && !from.isShort; left--) {
    const [cluster, successes, failures] = [from.name(), from.u32(), from.u32()]
    const rttsMs: number[] = []
    for (let more = from.u16(); more > 0 && !from.isShort; more--) rttsMs.push(from.f64())
    sightings.push({ cluster, successes, failures, rttsMs })
  }
  return from.isAtEnd ? { isolate, colo, questions, bookings, sightings, known } : null
}

function writeMarkers(out: UnitWriter, markers: Uint32Array): void {
  out.u16(markers.length)
  out.words(markers)
}

function readMarkers(from: UnitReader, { buffer, byteOffset }: Uint16Array): Uint32Array {
  const count = from.u16()
  const begin = from.words(count)
  return from.isShort ? NO_MARKERS : new Uint32Array(buffer, byteOffset + 2 * begin, count)
}
