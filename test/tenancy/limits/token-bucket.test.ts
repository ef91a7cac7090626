import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  fillBucket,
  limitState,
  takeFrom,
  waitMs,
  wholeTokens,
  type BucketState,
} from '../../../tenancy/limits/token-bucket.ts'

/** One request: whether it may pass, and the bucket after it. */
function take(
  state: BucketState | null,
  perMinute: number,
  nowMs: number,
): { allowed: boolean; state: BucketState } {
  const filled = fillBucket(state, perMinute, nowMs)
  const allowed = wholeTokens(filled) >= 1
  return { allowed, state: allowed ? takeFrom(filled, perMinute, 1) : filled }
}

test("a full bucket gives a minute's worth at once, then one each refill", () => {
  let state: BucketState | null = null
  for (let left = 2; left >= 0; left--) {
    const taking = take(state, 3, 1000)
    expect([taking.allowed, wholeTokens(taking.state)]).toEqual([true, left])
    state = taking.state
  }
  expect(limitState(state!, 3)).toEqual({ limit: 3, remaining: 0, resetMs: 60_000 })
  expect(waitMs(state!, 3, 1)).toBe(20_000)
  expect(take(state, 3, 20_999).allowed).toBe(false)
  expect(take(state, 3, 21_000).allowed).toBe(true)
})

test('a clock that goes back refills nothing, a lowered limit caps what was saved', () => {
  const empty = { tokens: 0, atMs: 50_000 }
  expect(fillBucket(empty, 60, 10_000)).toEqual(empty)
  expect(fillBucket({ tokens: 1000, atMs: 0 }, 5, 0).tokens).toBe(5)
})

test('what was used beyond the estimate is paid back first; what comes back is capped', () => {
  const debt = takeFrom({ tokens: 10, atMs: 0 }, 60, 70)
  expect(limitState(debt, 60)).toEqual({ limit: 60, remaining: 0, resetMs: 120_000 })
  expect(wholeTokens(fillBucket(debt, 60, 61_000))).toBe(1)
  expect(takeFrom({ tokens: 50, atMs: 0 }, 60, -100).tokens).toBe(60)
  // More than the bucket can hold waits for a full one.
  expect(waitMs({ tokens: 30, atMs: 0 }, 60, 1000)).toBe(30_000)
})

test('over any time it allows at most a burst and the rate, and who waits as told passes', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 600 }),
      fc.array(fc.integer({ min: 0, max: 30_000 }), { minLength: 1, maxLength: 200, size: 'max' }),
      (perMinute, pausesMs) => {
        let state: BucketState | null = null
        let nowMs = 0
        let allowed = 0
        for (const pauseMs of pausesMs) {
          nowMs += pauseMs
          const taking = take(state, perMinute, nowMs)
          state = taking.state
          if (taking.allowed) allowed++
          else expect(take(state, perMinute, nowMs + waitMs(state, perMinute, 1)).allowed).toBe(true)
        }
        expect(allowed).toBeLessThanOrEqual(perMinute + (nowMs * perMinute) / 60_000 + 1e-3)
      },
    ),
  )
})
