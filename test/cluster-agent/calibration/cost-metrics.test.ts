import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readCostMetrics, type CostSample } from '../../../cluster-agent/calibration/cost-metrics.ts'
import { windowBetween } from '../../../cluster-agent/calibration/metrics-window.ts'

const recorded = (version: string) =>
  readFileSync(join(import.meta.dirname, `../../fixtures/vllm/${version}/metrics.txt`), 'utf8')

test('what real engines of two versions say is understood', () => {
  const sample = readCostMetrics(recorded('v0.32.0'), null)
  expect(sample).toMatchObject({
    running: 0,
    waiting: 0,
    kvUsage: 0,
    computedTokens: 2587,
    generatedTokens: 368,
    finished: 63,
    gaps: 304,
    gapSumS: 2.577682126000127,
  })
  expect(sample.startS).toBeGreaterThan(1.7e9)
  expect(sample.kvTokens).toBeGreaterThan(0)
  expect(sample.adapters).toEqual({ slots: 1, running: [] })
  const older = readCostMetrics(recorded('v0.23.0'), 0)
  expect([older.running, older.kvUsage, older.gaps]).not.toContain(null)
})

test('ranks behind one URL are told apart; together their counts add up and their shares do not', () => {
  const text = [0, 1]
    .map((rank) =>
      [
        `vllm:num_requests_running{engine="${rank}",model_name="m"} ${rank + 1}.0`,
        `vllm:kv_cache_usage_perc{engine="${rank}",model_name="m"} ${0.3 + rank / 2}`,
        `vllm:cache_config_info{block_size="16",engine="${rank}",num_gpu_blocks="${100 * (rank + 1)}"} 1.0`,
      ].join('\n'),
    )
    .join('\n')
  expect(readCostMetrics(text, 1)).toMatchObject({ running: 2, kvUsage: 0.8, kvTokens: 3200 })
  expect(readCostMetrics(text, 0)).toMatchObject({ running: 1, kvUsage: 0.3, kvTokens: 1600 })
  expect(readCostMetrics(text, null)).toMatchObject({ running: 3, kvUsage: 0.8 })
})

test('adapters come from the newest sample of their series', () => {
  const line = (running: string, at: number) =>
    `vllm:lora_requests_info{max_lora="2",running_lora_adapters="${running}",waiting_lora_adapters=""} ${at}`
  const text = [line('a', 100), line('b,c', 300), line('', 200)].join('\n')
  expect(readCostMetrics(text, 0).adapters).toEqual({ slots: 2, running: ['b', 'c'] })
})

test('no text breaks the reader', () => {
  const text = recorded('v0.32.0').slice(3000, 7000)
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 400 }), fc.nat(4000), (noise, at) => {
      readCostMetrics(text.slice(0, at) + noise + text.slice(at), null)
      readCostMetrics(noise, 0)
    }),
    { numRuns: 200 },
  )
  expect(readCostMetrics('vllm:num_requests_running{engine="0"} NaN', 0).running).toBeNaN()
})

const sample = (more: Partial<CostSample> = {}): CostSample => ({
  startS: 1,
  running: 1,
  waiting: 0,
  kvUsage: 0.5,
  kvTokens: 1000,
  computedTokens: 0,
  generatedTokens: 0,
  finished: 0,
  gapSumS: 0,
  gaps: 0,
  loadBytes: null,
  loadS: null,
  pullBytes: null,
  pullS: null,
  adapters: null,
  ...more,
})

test('a window is what counters rose by', () => {
  const verdict = windowBetween(sample(), sample({ computedTokens: 500, gapSumS: 2, gaps: 100 }), 1000)
  expect(verdict).toMatchObject({
    kind: 'window',
    window: { spanMs: 1000, computedTokens: 500, gapSumMs: 2000, gaps: 100, loadBytes: 0 },
  })
})

test('a restart, a gap too long and what cannot be are no windows', () => {
  expect(windowBetween(sample(), sample({ startS: 2 }), 1000).kind).toBe('restart')
  expect(windowBetween(sample(), sample(), 1e6).kind).toBe('unclear')
  expect(windowBetween(sample(), sample(), Number.NaN).kind).toBe('unclear')
  for (const more of [
    { kvUsage: 1.7 },
    { kvUsage: Number.NaN },
    { running: -1 },
    { waiting: 1e9 },
    { computedTokens: 1e12 },
    { gaps: Number.NaN },
  ])
    expect(windowBetween(sample(), sample(more), 1000).kind).toBe('impossible')
  expect(windowBetween(sample({ gaps: 5 }), sample({ gaps: 4 }), 1000).kind).toBe('impossible')
})
