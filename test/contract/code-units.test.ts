import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { UnitReader, unitsOfText, unitsToText, UnitWriter } from '../../protocol/code-units.ts'

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
      const text = unitsToText(out)
      expect(Buffer.from(out.array.buffer, 0, 2 * out.length).toString('utf16le')).toBe(text)
      expect([...unitsOfText(text).subarray(0, text.length)]).toEqual([...out.array.subarray(0, out.length)])
      const from = new UnitReader().restart(text)
      for (const { kind, value } of values) expect(from[kind]()).toEqual(value)
      expect(from.isAtEnd).toBe(true)
      expect([from.u16(), from.name(), from.isShort, from.isAtEnd]).toEqual([0, '', true, false])
    }),
  )
})

test('words lie at an even place, and come whole or not at all', () => {
  const out = new UnitWriter()
  const words = Uint32Array.from([1, 0xffffffff, 0xd800dc00])
  out.u16(7)
  out.words(words)
  out.u16(8)
  const text = unitsToText(out)
  const from = new UnitReader().restart(text)
  expect(from.u16()).toBe(7)
  const { buffer, byteOffset } = unitsOfText(text)
  const begin = from.words(3)
  expect(new Uint32Array(buffer, byteOffset + 2 * begin, 3)).toEqual(words)
  expect([from.u16(), from.isAtEnd]).toEqual([8, true])
  const short = new UnitReader().restart(text.slice(0, -2), 1)
  expect([short.words(3), short.isShort]).toEqual([1, true])
})
