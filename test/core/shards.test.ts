import fc from 'fast-check'
import { expect, test } from 'vitest'
import { gridOffsetFrom, markerOffsets } from '../../core/prefix-markers.ts'
import { directoryName, layoutTag, shardOfMarker, shardOfPrompt } from '../../core/shards.ts'
import { layoutTagSchema, SINGLE_SHARD } from '../../protocol/shard-layout.ts'

const MODEL = 'm'
const layouts = fc.record({
  shards: fc.integer({ min: 1, max: 8 }),
  markerBytes: fc.constantFrom({}, { [MODEL]: 300 }, { [MODEL]: 4096 }, { [MODEL]: 9000, other: 5 }),
})

/** A prompt whose keys depend on all that is before them, as real ones do: equal prefixes, equal keys. */
function promptOf(words: readonly number[], messageEnds: readonly number[]): Uint32Array {
  const lengthBytes = words.length * 256
  const ends = messageEnds.filter((end) => end <= lengthBytes)
  const keyAt = (offset: number) => {
    let hash = 17
    for (let at = 0; at * 256 < offset; at++) hash = (Math.imul(hash, 31) + (words[at] ?? 0)) >>> 0
    return Math.imul(hash ^ offset, 0x9e3779b1) >>> 0
  }
  return Uint32Array.from(
    markerOffsets(lengthBytes, ends).flatMap((offset) => [offset, keyAt(offset), keyAt(offset + 1)]),
  )
}

const prompts = fc
  .tuple(
    fc.array(fc.nat(2), { minLength: 1, maxLength: 60 }),
    fc.uniqueArray(fc.integer({ min: 1, max: 15_000 }), { maxLength: 50 }),
  )
  .map(([words, ends]) => ({ words, ends: ends.toSorted((a, b) => a - b) }))

test('what an agent stores of one prompt is found by every prompt that shares it', () => {
  fc.assert(
    fc.property(layouts, prompts, fc.array(fc.nat(2), { maxLength: 60 }), (layout, { words, ends }, more) => {
      const stored = promptOf(words, ends)
      const asked = promptOf([...words, ...more], ends)
      const keys = new Set<string>()
      for (let at = 0; at + 2 < asked.length; at += 3) keys.add(`${asked[at + 1]} ${asked[at + 2]}`)
      const shard = shardOfPrompt(layout, MODEL, asked)
      for (let at = 0; at + 2 < stored.length; at += 3) {
        if (!keys.has(`${stored[at + 1]} ${stored[at + 2]}`)) continue
        const home = shardOfMarker(layout, MODEL, stored, stored[at]!)
        expect(home === null || home === shard).toBe(true)
      }
    }),
    { numRuns: 300 },
  )
})

test('a depth counts as the offset of the grid from it on', () => {
  expect([0, 1, 256, 257, 4096, 4097].map(gridOffsetFrom)).toEqual([256, 256, 256, 512, 4096, 4608])
})

test('a layout is part of the name of its objects', () => {
  const names = fc.assert(
    fc.property(layouts, layouts, fc.nat(7), fc.nat(7), (one, other, a, b) => {
      const isSame = layoutTag(one) === layoutTag(other) && (a === b || one.shards === 1)
      expect(directoryName('eu', one, a) === directoryName('eu', other, b)).toBe(
        isSame || (one.shards === 1 && other.shards === 1),
      )
      expect(layoutTagSchema.safeParse(layoutTag(one)).success).toBe(true)
    }),
  )
  expect(names).toBeUndefined()
  expect(directoryName('eu', SINGLE_SHARD, 0)).toBe('eu')
  expect(directoryName('eu', { shards: 4, markerBytes: {} }, 3)).toBe('eu.s4.3')
})

test('a prompt without markers has a shard too', () => {
  expect(shardOfPrompt({ shards: 4, markerBytes: {} }, MODEL, new Uint32Array())).toBe(0)
  expect(shardOfMarker({ shards: 4, markerBytes: {} }, MODEL, new Uint32Array(), 0)).toBeNull()
})
