import fc from 'fast-check'
import { expect, test } from 'vitest'
import { markerOffsets, prefixMarkers } from '../../core/prefix-markers.ts'
import { markersFromText, markersToText } from '../../core/marker-text.ts'
import { BODY_BYTES_MAX, MARKERS_MAX } from '../../protocol/ids.ts'

const KEY = { lo: 1, hi: 2 }

test('the grid is dense up to 4 KB, then eight an octave', () => {
  const offsets = markerOffsets(16_384, [])
  expect(offsets.slice(0, 3)).toEqual([256, 512, 768])
  expect(offsets.filter((offset) => offset <= 4096)).toHaveLength(16)
  expect(offsets.filter((offset) => offset > 4096 && offset <= 8192)).toEqual([
    4608, 5120, 5632, 6144, 6656, 7168, 7680, 8192,
  ])
  expect(offsets.filter((offset) => offset > 8192)).toHaveLength(8)
})

test('message ends join the grid once, in order, the first 8 and the last 24', () => {
  const ends = Array.from({ length: 100 }, (_, i) => (i + 1) * 64)
  const offsets = markerOffsets(6400, ends)
  expect(offsets).toEqual([...new Set(offsets)].toSorted((a, b) => a - b))
  for (const end of [...ends.slice(0, 8), ...ends.slice(-24)]) expect(offsets).toContain(end)
  expect(offsets).not.toContain(ends[20])
})

test('the largest body stays under the bound on markers', () => {
  const ends = Array.from({ length: 1000 }, (_, i) => BODY_BYTES_MAX - 1000 + i)
  expect(markerOffsets(BODY_BYTES_MAX + 4096, ends).length).toBeLessThanOrEqual(MARKERS_MAX)
})

test('prompts share exactly the markers of their common prefix', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 9000 }),
      fc.uint8Array({ minLength: 1, maxLength: 3000 }),
      fc.uint8Array({ minLength: 1, maxLength: 3000 }),
      (prefix, a, b) => {
        const one = Uint8Array.from([...prefix, 1, ...a])
        const two = Uint8Array.from([...prefix, 2, ...b])
        const left = prefixMarkers(one, [prefix.length, one.length], KEY)
        const right = prefixMarkers(two, [prefix.length, two.length], KEY)
        const keysAt = (markers: Uint32Array) =>
          new Map(
            Array.from({ length: markers.length / 3 }, (_, i) => [
              markers[i * 3],
              markers.slice(i * 3, i * 3 + 3).join(),
            ]),
          )
        const known = keysAt(right)
        for (const [offset, triple] of keysAt(left)) {
          if (offset! <= prefix.length) expect(known.get(offset)).toBe(triple)
          else expect(known.get(offset)).not.toBe(triple)
        }
        // Shared text is found to within an eighth, here exactly, since it ends a message.
        expect(known.has(prefix.length)).toBe(true)
      },
    ),
    { numRuns: 50 },
  )
})

test('markers survive their text form; anything else is refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 300, maxLength: 5000 }), (bytes) => {
      const markers = prefixMarkers(bytes, [bytes.length], KEY)
      expect(markersFromText(markersToText(markers))).toEqual(markers)
    }),
    { numRuns: 50 },
  )
  expect(markersFromText('')).toEqual(new Uint32Array(0))
  expect(markersFromText('abc')).toBeNull()
  expect(markersFromText('!'.repeat(16))).toBeNull()
  expect(markersFromText('é'.repeat(16))).toBeNull()
  const falling = markersToText(Uint32Array.of(512, 1, 1, 256, 1, 1))
  expect(markersFromText(falling)).toBeNull()
})
