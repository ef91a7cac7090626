import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  decodeReportFrame,
  encodeReportFrame,
  FRAME_CHANGES_MAX,
  type ReportFrame,
} from '../../protocol/report-frame.ts'

const u32 = fc.integer({ min: 0, max: 0xffffffff })
const frames = fc
  .array(fc.record({ lo: u32, hi: u32, tier: fc.nat(15) }), { maxLength: 50 })
  .chain((changes) =>
    fc.record({
      kind: fc.constantFrom<ReportFrame['kind']>('snapshot', 'snapshot-end', 'delta'),
      epoch: u32,
      seq: fc.integer({ min: 1, max: 0xffffffff }),
      count: fc.constant(changes.length),
      keysLo: fc.constant(Uint32Array.from(changes, (c) => c.lo)),
      keysHi: fc.constant(Uint32Array.from(changes, (c) => c.hi)),
      nibbles: fc.constant(Uint8Array.from(changes, (c) => c.tier)),
      ageMs: fc.nat(0xffff),
    }),
  )

test('a frame comes back as it was sent, at any offset of a larger buffer', () => {
  fc.assert(
    fc.property(frames, fc.nat(3), (frame, shift) => {
      const bytes = encodeReportFrame(frame)
      const shifted = new Uint8Array(bytes.length + shift)
      shifted.set(bytes, shift)
      expect(decodeReportFrame(shifted.subarray(shift))).toEqual({ ok: true, frame })
    }),
  )
})

test('2,000 changes stay under 20 KB', () => {
  const count = 2000
  const frame = { kind: 'delta', epoch: 1, seq: 1, ageMs: 0, count } as const
  const bytes = encodeReportFrame({
    ...frame,
    keysLo: new Uint32Array(count),
    keysHi: new Uint32Array(count),
    nibbles: new Uint8Array(count),
  })
  expect(bytes.length).toBeLessThan(20_000)
})

test('truncated, lengthened or hostile bytes are refused without an exception', () => {
  fc.assert(
    fc.property(frames, fc.nat(1000), (frame, cut) => {
      const bytes = encodeReportFrame(frame)
      const shorter = bytes.subarray(0, cut % bytes.length)
      expect(decodeReportFrame(shorter).ok).toBe(false)
      expect(decodeReportFrame(Uint8Array.from([...bytes, 0])).ok).toBe(false)
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const decoded = decodeReportFrame(bytes)
      if (decoded.ok) expect(encodeReportFrame(decoded.frame)).toHaveLength(bytes.length)
    }),
  )
  const future = encodeReportFrame({
    kind: 'delta',
    epoch: 1,
    seq: 1,
    ageMs: 0,
    count: 0,
    keysLo: new Uint32Array(),
    keysHi: new Uint32Array(),
    nibbles: new Uint8Array(),
  })
  future[0] = 99
  expect(decodeReportFrame(future)).toEqual({ ok: false, reason: 'unsupported-version' })
})

test('a frame over the limit is not made', () => {
  const count = FRAME_CHANGES_MAX + 1
  const frame = {
    kind: 'delta',
    epoch: 1,
    seq: 1,
    ageMs: 0,
    count,
    keysLo: new Uint32Array(count),
    keysHi: new Uint32Array(count),
  } as const
  expect(() => encodeReportFrame({ ...frame, nibbles: new Uint8Array(count) })).toThrow(RangeError)
})

test('a frame for a directory one version behind says what that version can', () => {
  fc.assert(
    fc.property(frames, (frame) => {
      const bytes = encodeReportFrame(frame, 1)
      expect([bytes[0], bytes[2], bytes[3]]).toEqual([1, 0, 0])
      const nibbles = frame.nibbles.map((nibble) => nibble & 7)
      expect(decodeReportFrame(bytes)).toEqual({ ok: true, frame: { ...frame, nibbles, ageMs: 0 } })
    }),
  )
})
