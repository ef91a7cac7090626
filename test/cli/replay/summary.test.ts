import { expect, test } from 'vitest'
import { formatSummaries, quantile, summarize, type Outcome } from '../../../cli/replay/summary.ts'

const ok = (ttftMs: number, predictedTtftMs: number | null, region = 'us-east'): Outcome => ({
  ok: true,
  ttftMs,
  promptTokens: 1000,
  cachedTokens: 250,
  region,
  predictedTtftMs,
})

test('quantiles are values that were measured', () => {
  expect(quantile([], 0.9)).toBe(0)
  expect(quantile([5], 0.99)).toBe(5)
  expect(quantile([3, 1, 2, 4], 0.5)).toBe(2)
  expect(
    quantile(
      Array.from({ length: 100 }, (_, i) => i + 1),
      0.9,
    ),
  ).toBe(90)
})

test('a summary counts answers, failures, cache, regions and prediction error', () => {
  const outcomes: Outcome[] = [
    ok(100, 110),
    ok(200, 100, 'eu-central'),
    ok(300, null),
    { ok: false, error: 'status 503' },
    { ok: false, error: 'status 503' },
  ]
  const summary = summarize(outcomes, 0.5)
  expect(summary).toMatchObject({
    requests: 5,
    failed: 2,
    cachedTokenShare: 0.25,
    ttftMs: { p50: 200, p90: 300, p99: 300, max: 300 },
    byRegion: { 'us-east': 2, 'eu-central': 1 },
    prediction: { requests: 2, medianErrorMs: 10, medianErrorShare: 0.1 },
    errors: { 'status 503': 2 },
  })
  const table = formatSummaries([
    { name: 'isotherm', summary },
    { name: 'nearest', summary },
  ])
  expect(table).toContain('isotherm')
  expect(table).toMatch(/of an infinite cache +50\.0 % +50\.0 %/)
  expect(table).toMatch(/served by eu-central +1 +1/)
})

test('nothing answered is no division by zero', () => {
  expect(summarize([{ ok: false, error: 'x' }], 0)).toMatchObject({ cachedTokenShare: 0, failed: 1 })
})
