import fc from 'fast-check'
import { expect, test } from 'vitest'
import { takeToken, type BucketState } from '../../../tenancy/limits/token-bucket.ts'

test("a full bucket gives a minute's worth at once, then one each refill", () => {
  let state: BucketState | null = null
  for (let left = 2; left >= 0; left--) {
    const taking = takeToken(state, 3, 1000)
    expect(taking.verdict).toMatchObject({ allowed: true, remaining: left })
    state = taking.state
  }
  expect(takeToken(state, 3, 1000).verdict).toEqual({
    allowed: false,
    remaining: 0,
    retryAfterMs: 20_000,
    resetMs: 60_000,
  })
  expect(takeToken(state, 3, 20_999).verdict.allowed).toBe(false)
  expect(takeToken(state, 3, 21_000).verdict.allowed).toBe(true)
})

test('a clock that goes back refills nothing, a lowered limit caps what was saved', () => {
  const empty = { tokens: 0, atMs: 50_000 }
  expect(takeToken(empty, 60, 10_000)).toMatchObject({
    state: { tokens: 0, atMs: 50_000 },
    verdict: { allowed: false },
  })
  expect(takeToken({ tokens: 1000, atMs: 0 }, 5, 0).verdict.remaining).toBe(4)
})

test('who waits as long as told is allowed, whatever the fractions add up to', () => {
  // Found by the property below: 2 a minute, pauses of 0, 7279, 821 and 0 ms.
  let state: BucketState | null = null
  let nowMs = 0
  for (const pauseMs of [0, 7279, 821, 0]) state = takeToken(state, 2, (nowMs += pauseMs)).state
  const { verdict } = takeToken(state, 2, nowMs)
  expect(verdict.allowed).toBe(false)
  expect(takeToken(state, 2, nowMs + verdict.retryAfterMs).verdict.allowed).toBe(true)
})

test('over any time it allows at most a burst and the rate', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 600 }),
      fc.array(fc.integer({ min: 0, max: 30_000 }), { minLength: 1, maxLength: 200 }),
      (perMinute, pausesMs) => {
        let state: BucketState | null = null
        let nowMs = 0
        let allowed = 0
        for (const pauseMs of pausesMs) {
          nowMs += pauseMs
          const taking = takeToken(state, perMinute, nowMs)
          state = taking.state
          if (taking.verdict.allowed) allowed++
          else
            expect(takeToken(state, perMinute, nowMs + taking.verdict.retryAfterMs).verdict.allowed).toBe(
              true,
            )
        }
        expect(allowed).toBeLessThanOrEqual(perMinute + (nowMs * perMinute) / 60_000 + 1e-6)
      },
    ),
  )
})
