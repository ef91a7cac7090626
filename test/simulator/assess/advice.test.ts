import { expect, test } from 'vitest'
import { adviseOn } from '../../../simulator/assess/advice.ts'
import type { Estimate, Forecast, Gain } from '../../../simulator/assess/forecast.ts'
import type { TraceFacts } from '../../../simulator/assess/reuse.ts'

const FACTS: TraceFacts = {
  requests: 100,
  minutes: 10,
  requestsPerS: 1,
  sessions: 10,
  promptTokens: { p50: 6000, p90: 9000, p99: 9000 },
  outputTokens: { p50: 100, p90: 200 },
  reusableShare: 0.5,
  sameSessionShare: 0.9,
  reuseAgeS: { p50: 1, p90: 2 },
  distinctTokens: 1e6,
}
const value = (mean: number, half = 0) => ({ mean, half })

function gain(against: string, p90: readonly [number, number], prefill: readonly [number, number]): Gain {
  const none = value(0)
  return { against, ttftP50: none, ttftP90: value(...p90), ttftP99: none, prefillGpu: value(...prefill) }
}

function made(gains: readonly Gain[], p90Ms = 500): Forecast {
  const none = value(0)
  const estimate: Estimate = {
    policy: 'isotherm',
    ttftMs: { p50: none, p90: value(p90Ms), p99: none },
    tpotP50Ms: none,
    hitShare: none,
    prefillGpuMs: none,
    awayShare: none,
    lost: 0,
  }
  return { estimates: [estimate], gains }
}

const GOOD = [gain('sticky', [-0.3, 0.1], [0, 0]), gain('round robin', [-0.6, 0.1], [-0.2, 0.1])]

test('a trace with reuse, length, GPUs and a sure gain is advised to adopt', () => {
  const { verdict, why, checks } = adviseOn(FACTS, 16, made(GOOD))
  expect(verdict).toBe('adopt')
  expect(checks.every(({ holds }) => holds)).toBe(true)
  // The alternative that is hardest to beat is the one that is named.
  expect(why).toContain('against sticky TTFT p90 -30.0 ± 10.0 %')
})

test('each bound that fails is a reason with its measured figure', () => {
  const facts = { ...FACTS, reusableShare: 0.12, promptTokens: { p50: 800, p90: 900, p99: 900 } }
  const { verdict, why } = adviseOn(facts, 4, made(GOOD))
  expect(verdict).toBe('do not adopt')
  expect(why).toBe(
    'reusable share of prompt tokens 12 %, at least 30 % needed; median prompt 800 tokens, at least 2000 needed; GPUs 4, at least 8 needed',
  )
})

test('a gain counts with its whole interval, and spared prefill only when nobody waits longer for it', () => {
  const verdictOf = (...gains: Gain[]) => adviseOn(FACTS, 16, made(gains)).verdict
  expect(verdictOf(gain('sticky', [-0.3, 0.26], [0, 0]))).toBe('do not adopt')
  expect(verdictOf(gain('sticky', [0.02, 0.1], [-0.3, 0.1]))).toBe('adopt')
  expect(verdictOf(gain('sticky', [0.3, 0.1], [-0.3, 0.1]))).toBe('do not adopt')
  expect(verdictOf(gain('sticky', [-0.3, 0.1], [0, 0]), gain('robin', [0.1, 0.1], [0, 0]))).toBe(
    'do not adopt',
  )
})

test('in overload it cannot tell', () => {
  const { verdict, why } = adviseOn(FACTS, 16, made(GOOD, 40_000))
  expect(verdict).toBe('cannot tell')
  expect(why).toContain('p90 40 s')
})
