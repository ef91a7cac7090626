import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isAnotherProcess, readEngineMetrics } from '../../../cluster-agent/vitals/engine-metrics.ts'

const NOW_S = 1_795_500_000
const recorded = (version: string) =>
  readFileSync(new URL(`../../fixtures/vllm/${version}/metrics.txt`, import.meta.url), 'utf8')

test('what real vLLM reports', () => {
  expect(readEngineMetrics(recorded('v0.32.0'), null, NOW_S)).toEqual({
    running: 0,
    waiting: 0,
    kvUsage: 0,
    cacheQueries: 3575,
    cacheHits: 992,
    processStartS: 1_795_403_702.79,
    blockTokens: 32,
    gpuBlocks: 13,
    hasPrefixCache: true,
    isAsleep: false,
    impossible: [],
  })
  expect(readEngineMetrics(recorded('v0.23.0'), 0, NOW_S)).toMatchObject({ blockTokens: 32, impossible: [] })
})

test('the engine asked for, of a server that has several; the sum of all without one', () => {
  const text = [
    'vllm:num_requests_running{engine="0",model_name="m"} 3.0',
    'vllm:num_requests_running{engine="1",model_name="m"} 5.0',
    'vllm:kv_cache_usage_perc{engine="0"} 0.25',
    'vllm:kv_cache_usage_perc{engine="1"} 0.75',
    'vllm:engine_sleep_state{engine="1",sleep_state="awake"} 0.0',
    'vllm:engine_sleep_state{engine="1",sleep_state="weights_offloaded"} 1.0',
  ].join('\n')
  expect(readEngineMetrics(text, 0, NOW_S)).toMatchObject({ running: 3, kvUsage: 0.25, isAsleep: false })
  expect(readEngineMetrics(text, 1, NOW_S)).toMatchObject({ running: 5, kvUsage: 0.75, isAsleep: true })
  expect(readEngineMetrics(text, null, NOW_S)).toMatchObject({ running: 8, kvUsage: 0.75 })
})

test('what cannot be true counts as absent and is named', () => {
  const text = [
    'vllm:num_requests_running -1.0',
    'vllm:num_requests_waiting NaN',
    'vllm:kv_cache_usage_perc 73.5',
    'vllm:prefix_cache_queries_total 10.0',
    'vllm:prefix_cache_hits_total 11.0',
    'process_start_time_seconds 9e+12',
    'vllm:cache_config_info{block_size="-16",num_gpu_blocks="many",enable_prefix_caching="False"} 1.0',
  ].join('\n')
  const reading = readEngineMetrics(text, null, NOW_S)
  expect(reading).toMatchObject({
    running: null,
    waiting: null,
    kvUsage: null,
    cacheHits: null,
    processStartS: null,
    blockTokens: null,
    gpuBlocks: null,
    hasPrefixCache: false,
  })
  expect(reading.impossible).toHaveLength(7)
})

test('another start time is another process; a missing one says nothing', () => {
  const at = (startS: number) => readEngineMetrics(`process_start_time_seconds ${startS}`, null, NOW_S)
  expect(isAnotherProcess(at(1000), at(1000))).toBe(false)
  expect(isAnotherProcess(at(1000), at(1002))).toBe(true)
  expect(isAnotherProcess(at(1002), at(1000))).toBe(true)
  expect(isAnotherProcess(null, at(1000))).toBe(false)
  expect(isAnotherProcess(at(1000), readEngineMetrics('', null, NOW_S))).toBe(false)
})

test('any text at all is read without a throw, and what comes out is possible', () => {
  const line = fc.oneof(
    fc.string(),
    fc
      .tuple(
        fc.constantFrom('vllm:num_requests_running', 'vllm:kv_cache_usage_perc', 'vllm:cache_config_info'),
        fc.string(),
        fc.oneof(fc.double().map(String), fc.string()),
      )
      .map(([name, labels, value]) => `${name}{${labels}} ${value}`),
  )
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const { running, kvUsage } = readEngineMetrics(lines.join('\n'), null, NOW_S)
      expect(running === null || running >= 0).toBe(true)
      expect(kvUsage === null || (kvUsage >= 0 && kvUsage <= 1)).toBe(true)
    }),
  )
})
