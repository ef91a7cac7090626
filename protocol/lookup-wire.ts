/**
 * A lookup as it crosses the call of an object: one string of code units (`code-units.ts`), since structured values cost
 * more of a call than all that the directory does. `lookup-packing.ts` has the answer.
 *
 *     u16 wire | u32 isolate | name colo | u32 words of all markers
 *     u16 count, each question:  name model | u16 words | u32 ...
 *     u16 count, each booking:   name cluster | f64 workMs | f64 agoMs | f64 rttMs | u16 words | u32 ...
 *     u16 count, each sighting:  name cluster | u32 successes | u32 failures | u16 count | f64 rttMs ...
 *     u16 count, each of known:  name model | f64 version
 *
 * A name is a u16 length and its units.
 */
import { UnitReader, UnitWriter } from './code-units.ts'
import type { LookupBatch } from './lookup.ts'

/** The form of both directions. While a rollout mixes two, a lookup in the other is none: its answer is empty. */
export const LOOKUP_WIRE = 1

const WRITER = new UnitWriter()

/** The units of the batch, valid until the next call. */
export function encodeBatch({
  isolate,
  colo,
  questions,
  bookings,
  sightings,
  known,
}: LookupBatch): Uint16Array {
  const out = WRITER.restart()
  out.u16(LOOKUP_WIRE)
  out.u32(isolate)
  out.name(colo)
  let words = 0
  for (const { markers } of questions) words += markers.length
  for (const { markers } of bookings) words += markers.length
  out.u32(words)
  out.u16(questions.length)
  for (const { model, markers } of questions) {
    out.name(model)
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
  const versions = Object.entries(known)
  out.u16(versions.length)
  for (const [model, version] of versions) {
    out.name(model)
    out.f64(version)
  }
  return out.units
}

/** Markers of the batch that was decoded last. */
let scratch = new Uint32Array(1024)

/** null for anything that is no lookup. Markers are views of memory that the next call uses again. */
export function decodeBatch(text: string): LookupBatch | null {
  const from = new UnitReader(text)
  if (from.u16() !== LOOKUP_WIRE) return null
  const isolate = from.u32()
  const colo = from.name()
  const words = from.u32()
  if (words * 2 > text.length) return null
  if (words > scratch.length) scratch = new Uint32Array(words)
  let at = 0
  const markers = () => {
    const own = scratch.subarray(at, at + from.u16())
    at += own.length
    from.words(own)
    return own
  }
  const questions = readAll(from, () => ({ model: from.name(), markers: markers() }))
  const bookings = readAll(from, () => ({
    cluster: from.name(),
    workMs: from.f64(),
    agoMs: from.f64(),
    rttMs: from.f64(),
    markers: markers(),
  }))
  const sightings = readAll(from, () => ({
    cluster: from.name(),
    successes: from.u32(),
    failures: from.u32(),
    rttsMs: readAll(from, () => from.f64()),
  }))
  const known: Record<string, number> = {}
  for (let left = from.u16(); left > 0 && !from.isShort; left--) known[from.name()] = from.f64()
  return from.isAtEnd && at === words ? { isolate, colo, questions, bookings, sightings, known } : null
}

function writeMarkers(out: UnitWriter, markers: Uint32Array): void {
  out.u16(markers.length)
  out.words(markers)
}

/** As many as the next unit says, or as there are. */
function readAll<T>(from: UnitReader, read: () => T): T[] {
  const all: T[] = []
  for (let left = from.u16(); left > 0 && !from.isShort; left--) all.push(read())
  return all
}
