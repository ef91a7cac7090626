import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeAnswer, decodeBatch, encodeAnswer, encodeBatch } from '../../protocol/lookup-wire.ts'

const markers = fc
  .array(fc.integer({ min: 0, max: 0xffffffff }), { maxLength: 30 })
  .map((words) => Uint32Array.from(words))
const batches = fc.record({
  isolate: fc.nat(0xffffffff),
  colo: fc.string({ maxLength: 5 }),
  questions: fc.array(fc.record({ model: fc.string({ unit: 'binary', maxLength: 8 }), markers }), {
    maxLength: 4,
  }),
  bookings: fc.array(
    fc.record({ cluster: fc.string(), workMs: fc.nat(), markers, agoMs: fc.nat(), rttMs: fc.nat() }),
    { maxLength: 3 },
  ),
  sightings: fc.constant([{ cluster: 'c', successes: 1, failures: 0, rttsMs: [1.5] }]),
  known: fc.constant({ modèle: 7 }),
})
const answers = fc.record({
  directory: fc.string(),
  versions: fc.constant({ policies: 3 }),
  factsVersion: fc.nat(),
  facts: fc.constant([]),
  numbers: fc.array(fc.double({ noNaN: true })).map((values) => Float64Array.from(values)),
  bookedMs: fc.constantFrom(null, [[[1, 2], []]]),
})

test('a lookup and its answer come back as they were sent, from anywhere in a larger buffer', () => {
  fc.assert(
    fc.property(batches, answers, fc.nat(16), (batch, answer, shift) => {
      const shifted = (bytes: Uint8Array) => {
        const larger = new Uint8Array(bytes.length + shift)
        larger.set(bytes, shift)
        return larger.subarray(shift)
      }
      expect(decodeBatch(shifted(encodeBatch(batch)))).toEqual(batch)
      expect(decodeAnswer(shifted(encodeAnswer(answer)))).toEqual(answer)
    }),
  )
})

test('bytes that are neither are null', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      expect(() => [decodeBatch(bytes), decodeAnswer(bytes)]).not.toThrow()
    }),
  )
  const bytes = encodeBatch({ isolate: 1, colo: '', questions: [], bookings: [], sightings: [], known: {} })
  expect(decodeBatch(bytes.subarray(0, 10))).toBeNull()
  expect(decodeBatch(new Uint8Array())).toBeNull()
  expect(decodeAnswer(new Uint8Array())).toBeNull()
})
