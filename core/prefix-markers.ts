/**
 * Markers of a prompt: byte offsets of its canonical form at which the keyed running hash is read. Two prompts with a
 * common prefix have the same PrefixKeys up to it, so the deepest known marker tells how much they share.
 *
 *     every 256 B up to 4 KB | eight an octave after it (found to within 12.5 %) | message ends: first 8 and last 24
 *
 * Message ends are where real prompts share exactly. 400 KB have about 100 markers, 32 MiB fewer than MARKERS_MAX.
 */
import { hashPrefixes, type HashKey } from './half-sip-hash.ts'

export const MARKER_STEP_BYTES = 256
export const MARKER_DENSE_BYTES = 4096
export const MARKERS_PER_OCTAVE = 8
export const MESSAGE_ENDS_FIRST = 8
export const MESSAGE_ENDS_LAST = 24

/** u32 triples `offset, low half, high half`, by rising offset: the form in which markers travel. */
export type Markers = Uint32Array

/** Offsets of the markers of a prompt of `lengthBytes` whose messages end at `messageEnds` (rising). */
export function markerOffsets(lengthBytes: number, messageEnds: readonly number[]): number[] {
  const ends =
    messageEnds.length <= MESSAGE_ENDS_FIRST + MESSAGE_ENDS_LAST
      ? messageEnds
      : [...messageEnds.slice(0, MESSAGE_ENDS_FIRST), ...messageEnds.slice(-MESSAGE_ENDS_LAST)]
  const offsets: number[] = []
  let nextEnd = 0
  for (let offset = MARKER_STEP_BYTES; offset <= lengthBytes; offset += gridStepBytes(offset)) {
    for (; nextEnd < ends.length && (ends[nextEnd] as number) < offset; nextEnd++)
      offsets.push(ends[nextEnd] as number)
    if (ends[nextEnd] === offset) nextEnd++
    offsets.push(offset)
  }
  for (; nextEnd < ends.length; nextEnd++) offsets.push(ends[nextEnd] as number)
  return offsets
}

/** The first offset of the grid at or beyond `fromBytes`: every prompt that is long enough has a marker there. */
export function gridOffsetFrom(fromBytes: number): number {
  let offset = MARKER_STEP_BYTES
  while (offset < fromBytes) offset += gridStepBytes(offset)
  return offset
}

/** Distance from a grid marker at `offset` to the next. */
function gridStepBytes(offset: number): number {
  if (offset < MARKER_DENSE_BYTES) return MARKER_STEP_BYTES
  return 2 ** Math.floor(Math.log2(offset)) / MARKERS_PER_OCTAVE
}

export function prefixMarkers(bytes: Uint8Array, messageEnds: readonly number[], key: HashKey): Markers {
  return hashPrefixes(bytes, markerOffsets(bytes.length, messageEnds), key)
}

export function markerCount(markers: Markers): number {
  return markers.length / 3
}

/** The PrefixKey of marker `index` as 16 hexadecimal digits: for maps and for people, not for the hot path. */
export function markerKeyHex(markers: Markers, index: number): string {
  const lo = markers[index * 3 + 1] ?? 0
  const hi = markers[index * 3 + 2] ?? 0
  return hi.toString(16).padStart(8, '0') + lo.toString(16).padStart(8, '0')
}
