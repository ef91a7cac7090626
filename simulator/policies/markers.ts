/**
 * Markers of a simulated prompt, in the form of core/prefix-markers.ts: an offset in bytes and a key. The keys are block
 * numbers, which name whole prefixes as production's keyed hashes do; the offsets follow its rule of eight an octave and
 * message ends.
 */
import type { SimRequest } from '../world/request.ts'

export const BYTES_PER_TOKEN = 4
const MARKERS_AN_OCTAVE = 8
/** The last message ends count, as in core/prefix-markers.ts. */
const ENDS_MAX = 24

const cache = new WeakMap<SimRequest, Uint32Array>()

/** Triples of offset, low and high half of the key, by rising offset. */
export function markersOf(request: SimRequest, blockTokens: number): Uint32Array {
  const known = cache.get(request)
  if (known) return known
  const count = Math.floor(request.promptTokens / blockTokens)
  const found = new Set(request.ends.slice(-ENDS_MAX).filter((end) => end > 0 && end <= count))
  for (let at = 1; at < count; at += Math.max(1, Math.floor(at / MARKERS_AN_OCTAVE))) found.add(at)
  if (count > 0) found.add(count)
  const positions = [...found].toSorted((a, b) => a - b)
  const markers = new Uint32Array(positions.length * 3)
  for (const [index, blocks] of positions.entries()) {
    markers[index * 3] = blocks * blockTokens * BYTES_PER_TOKEN
    markers[index * 3 + 1] = (request.blocks[blocks - 1] ?? 0) + 1
    markers[index * 3 + 2] = 0x51
  }
  cache.set(request, markers)
  return markers
}
