import { expect, test } from 'vitest'
import { FLUSH_MS, FLUSH_MS_MAX, FlushPace } from '../../../tenancy/receipts/flush-pace.ts'

test('many isolates collect longer, up to a bound, and soon again when they are few', () => {
  const pace = new FlushPace()
  const paceAfter = (batchesEachSecond: number, seconds: number, fromMs: number) => {
    let flushMs = 0
    for (let second = 0; second < seconds; second++) {
      for (let i = 0; i < batchesEachSecond; i++) flushMs = pace.hear(fromMs + second * 1000)
    }
    return flushMs
  }
  expect(paceAfter(10, 3, 10_000)).toBe(FLUSH_MS)
  const busy = paceAfter(500, 3, 20_000)
  expect(busy).toBeGreaterThan(FLUSH_MS)
  expect(paceAfter(500, 30, 30_000)).toBe(FLUSH_MS_MAX)
  expect(paceAfter(10, 5, 100_000)).toBe(FLUSH_MS)
})
