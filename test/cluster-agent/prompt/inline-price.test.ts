import { expect, test } from 'vitest'
import { INLINE_MS_MAX, InlinePrice } from '../../../cluster-agent/prompt/inline-price.ts'

test('a short prompt beside warm engines is worth understanding first, a long one on a known ledger is not', () => {
  const fresh = new InlinePrice(true)
  expect(fresh.worthMs(4000, 200, 4)).toBeGreaterThan(0)
  expect(fresh.worthMs(4000, 200, 1)).toBe(0)
  expect(fresh.worthMs(0, 200, 4)).toBe(0)
  expect(new InlinePrice(false).worthMs(4000, 200, 4)).toBe(0)
  // The dearer it is to tokenise, the more there must be to win.
  expect(fresh.worthMs(400_000, 200, 4)).toBe(0)
})

test('what engines report decides: where nothing unknown is ever cached nobody waits, and it comes back', () => {
  const price = new InlinePrice(true)
  for (let i = 0; i < 200; i++) price.noteOutcome(1000, 0)
  expect(price.worthMs(4000, 1000, 4)).toBe(0)
  for (let i = 0; i < 50; i++) price.noteOutcome(1000, 900)
  expect(price.worthMs(4000, 1000, 4)).toBe(INLINE_MS_MAX)
  price.noteOutcome(0, 5)
  price.noteOutcome(-1, 5)
  expect(price.missedShare).toBeLessThanOrEqual(1)
})

test('a slow tokenizer is priced as it is', () => {
  const price = new InlinePrice(true)
  const before = price.costMs(4000)
  for (let i = 0; i < 200; i++) price.noteWork(1000, 100)
  expect(price.costMs(4000)).toBeGreaterThan(before * 10)
  price.noteWork(0, 0)
})
