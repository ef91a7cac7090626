import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { UnitReader, unitsToText, UnitWriter } from '../../protocol/code-units.ts'

const kinds = fc.oneof(
  fc.record({ kind: fc.constant('u16' as const), value: fc.nat(0xffff) }),
  fc.record({ kind: fc.constant('u32' as const), value: fc.nat(0xffffffff) }),
  fc.record({ kind: fc.constant('f64' as const), value: fc.double() }),
  // Lone surrogates too: the string is no text.
  fc.record({ kind: fc.constant('name' as const), value: fc.string({ unit: 'binary' }) }),
  fc.record({ kind: fc.constant('text' as const), value: fc.string({ minLength: 0, maxLength: 3000 }) }),
)

test('what is read is what was written, whatever the units are', () => {
  const out = new UnitWriter()
  fc.assert(
    fc.property(fc.array(kinds), (values) => {
      out.restart()
      for (const { kind, value } of values) out[kind](value as never)
      const { units } = out
      const text = unitsToText(units)
      expect(Buffer.from(units.buffer, 0, units.byteLength).toString('utf16le')).toBe(text)
      const from = new UnitReader(text)
      for (const { kind, value } of values) expect(from[kind]()).toEqual(value)
      expect(from.isAtEnd).toBe(true)
      expect([from.u16(), from.name(), from.isShort, from.isAtEnd]).toEqual([0, '', true, false])
    }),
  )
})

test('words come whole or not at all', () => {
  const out = new UnitWriter()
  out.words(Uint32Array.from([1, 0xffffffff, 0xd800dc00]))
  const text = unitsToText(out.units)
  const words = new Uint32Array(3)
  expect(new UnitReader(text).words(words)).toBe(true)
  expect([...words]).toEqual([1, 0xffffffff, 0xd800dc00])
  const short = new UnitReader(text.slice(1))
  expect([short.words(words), short.isShort]).toEqual([false, true])
})
