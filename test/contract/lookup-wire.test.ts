import fc from 'fast-check'
import { expect, test } from 'vitest'
import { unitsToText } from '../../protocol/code-units.ts'
import type { LookupBatch } from '../../protocol/lookup.ts'
import { decodeAnswer } from '../../protocol/lookup-packing.ts'
import { decodeBatch, encodeBatch } from '../../protocol/lookup-wire.ts'

const markers = fc
  .array(fc.integer({ min: 0, max: 0xffffffff }), { maxLength: 30 })
  .map((words) => Uint32Array.from(words))
const batches: fc.Arbitrary<LookupBatch> = fc
  .record({
    isolate: fc.nat(0xffffffff),
    colo: fc.string({ maxLength: 5 }),
    asked: fc.array(
      fc.record({
        question: fc.record({ model: fc.string({ unit: 'binary', maxLength: 8 }), markers }),
        known: fc.constantFrom(0, 1, 2 ** 52),
      }),
      { maxLength: 4 },
    ),
    bookings: fc.array(
      fc.record({ cluster: fc.string(), workMs: fc.double(), markers, agoMs: fc.nat(), rttMs: fc.nat() }),
      { maxLength: 3 },
    ),
    sightings: fc.array(
      fc.record({
        cluster: fc.string(),
        successes: fc.nat(),
        failures: fc.nat(),
        rttsMs: fc.array(fc.double(), { maxLength: 8 }),
      }),
      { maxLength: 2 },
    ),
  })
  .map(({ asked, ...told }) => ({
    ...told,
    questions: asked.map(({ question }) => question),
    known: asked.map(({ known }) => known),
  }))

test('a lookup comes back as it was sent', () => {
  fc.assert(
    fc.property(batches, (batch) => {
      expect(decodeBatch(unitsToText(encodeBatch(batch)))).toEqual(batch)
    }),
  )
})

test('what is cut, lengthened or something else is no lookup, and never throws', () => {
  fc.assert(
    fc.property(batches, fc.nat(), fc.string({ unit: 'binary' }), (batch, cut, other) => {
      const text = unitsToText(encodeBatch(batch))
      expect(decodeBatch(text.slice(0, cut % text.length))).toBeNull()
      expect(decodeBatch(`${text}x`)).toBeNull()
      expect(() => [decodeBatch(other), decodeAnswer(other)]).not.toThrow()
      expect(() => [decodeBatch(`\u0001${other}`), decodeAnswer(`\u0001${other}`)]).not.toThrow()
    }),
  )
  expect(decodeBatch('')).toBeNull()
  expect(decodeAnswer('')).toBeNull()
})

test('a count without anything behind it costs nothing', () => {
  const [wire, ...rest] = '\u0001\0\0\0\0\0'
  expect(decodeBatch(`${wire}${rest.join('')}\uffff\uffff\uffff\uffff`)).toBeNull()
})
