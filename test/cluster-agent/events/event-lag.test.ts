import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AGREED_MS_MAX, EventLag, LAG_MS_MAX, SOONEST_MS } from '../../../cluster-agent/events/event-lag.ts'

/** Our clock at the beginning. */
const WALL_MS = 1_800_000_000_000

/** What is said of batches that arrive every 50 ms, `lagsMs` after they were made, by an engine `skewMs` behind. */
function lags(skewMs: number, lagsMs: readonly number[]): number[] {
  const lag = new EventLag()
  return lagsMs.map((ms, index) => {
    const wallMs = WALL_MS + index * 50
    return lag.note(wallMs - ms - skewMs, wallMs)
  })
}

test('clocks that agree tell the age as it is', () => {
  expect(lags(0, [7, 3, 250, 3])).toEqual([7, 3, 250, 3])
})

test.each([
  ['behind', 180_000],
  ['ahead', -180_000],
])('an engine whose clock is minutes %s counts from what came soonest', (_, skewMs) => {
  expect(lags(skewMs, [5, 5, 205, 5, 1005])).toEqual([0, 0, 200, 0, 1000])
})

test('no age is negative, or longer than clocks that agree may show beyond the truth', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -600_000, max: 600_000 }),
      fc.array(fc.nat(5000), { minLength: 1, maxLength: 50, size: 'max' }),
      (skewMs, trueMs) => {
        for (const [index, ms] of lags(skewMs, trueMs).entries()) {
          expect(ms).toBeGreaterThanOrEqual(0)
          expect(ms).toBeLessThanOrEqual((trueMs[index] ?? 0) + AGREED_MS_MAX)
        }
      },
    ),
  )
})

test('a replay is old, but not older than the bound', () => {
  expect(lags(0, [2, 3_600_000])).toEqual([2, LAG_MS_MAX])
})

test('a clock that is set counts anew after two windows', () => {
  const lag = new EventLag()
  expect(lag.note(WALL_MS, WALL_MS)).toBe(0)
  // Set back by ten seconds: what arrives looks old, until what came before is forgotten.
  const later = (ms: number) => lag.note(WALL_MS + ms - 10_000, WALL_MS + ms)
  expect(later(1000)).toBe(10_000)
  expect(later(SOONEST_MS)).toBe(10_000)
  expect(later(2 * SOONEST_MS)).toBe(0)
})
