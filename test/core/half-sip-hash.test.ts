import { expect, test } from 'vitest'
import fc from 'fast-check'
import { hashPrefixes } from '../../core/half-sip-hash.ts'

/** First 15 of `vectors_hsip64` of the reference implementation: key 00..07, input 00, 01, ... of rising length. */
const VECTORS = [
  '218d1f59b9b83cc8',
  'be552412f8387315',
  '064f39ef7c50eb57',
  'ce0f1a45f7060679',
  'd5e78a175be52ea1',
  'cb9d7c3f2f3db580',
  'ce3e91358aa2bc25',
  'ff202728b07bc684',
  'edfee820bce4858c',
  '5b51cccc13888307',
  '95b0469f06a6f2ee',
  'ae26333994ddcd48',
  '7bc71f9faef5c799',
  '5a2352d75a0c3744',
  '3bb1a870eae8e658',
]
const KEY = { lo: 0x03020100, hi: 0x07060504 }

test('the reference vectors come out, at every length, in one pass', () => {
  const input = Uint8Array.from({ length: 64 }, (_, i) => i)
  const lengths = VECTORS.map((_, i) => i)
  const out = hashPrefixes(input, lengths, KEY)
  const hex = lengths.map((length, i) => {
    expect(out[i * 3]).toBe(length)
    return Buffer.from(out.slice(i * 3 + 1, i * 3 + 3).buffer).toString('hex')
  })
  expect(hex).toEqual(VECTORS)
})

test('a prefix hashes the same alone and inside a longer text', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (bytes, cut) => {
      const offset = Math.min(cut, bytes.length)
      const inside = hashPrefixes(bytes, [offset, bytes.length], KEY)
      const alone = hashPrefixes(bytes.slice(0, offset), [offset], KEY)
      expect([inside[1], inside[2]]).toEqual([alone[1], alone[2]])
    }),
  )
})

test('where the bytes lie in memory makes no difference', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(7), (bytes, at) => {
      const moved = new Uint8Array(at + bytes.length).subarray(at)
      moved.set(bytes)
      const offsets = [bytes.length >> 1, bytes.length]
      expect(hashPrefixes(moved, offsets, KEY)).toEqual(hashPrefixes(bytes, offsets, KEY))
    }),
  )
})

test('another key gives another hash', () => {
  const bytes = new TextEncoder().encode('the same prompt')
  const one = hashPrefixes(bytes, [bytes.length], KEY)
  const other = hashPrefixes(bytes, [bytes.length], { lo: KEY.lo + 1, hi: KEY.hi })
  expect([one[1], one[2]]).not.toEqual([other[1], other[2]])
})
