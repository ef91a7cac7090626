import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { zeroCounters } from '../../../simulator/engine/counters.ts'
import { Histogram } from '../../../simulator/wire/histogram.ts'
import { EngineHistograms, metricsText } from '../../../simulator/wire/metrics.ts'
import type { EngineVersion } from '../../../simulator/wire/engine-version.ts'

/** Series by name with its type and the names and fixed values of its labels; counts and sizes differ. */
function seriesOf(text: string): { types: Map<string, string>; series: Set<string> } {
  const types = new Map<string, string>()
  const series = new Set<string>()
  for (const line of text.split('\n')) {
    const [, name, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? []
    if (name !== undefined && type !== undefined) types.set(name, type)
    if (line.startsWith('#') || line === '') continue
    const labels = line.slice(0, line.lastIndexOf(' '))
    // Sizes of the cache are the engine's own, and the info series says more about the build than the simulator knows.
    if (!labels.startsWith('vllm:cache_config_info')) series.add(labels)
  }
  return { types, series }
}

function simulated(version: EngineVersion): string {
  return metricsText({
    model: 'tiny',
    version,
    running: 0,
    waiting: 0,
    deferred: 0,
    kvUsage: 0.25,
    blockTokens: 32,
    gpuBlocks: 13,
    startS: 1_795_403_702.79,
    counters: zeroCounters(),
    histograms: new EngineHistograms(),
  })
}

test.each(['0.32.0', '0.23.0'] as const)('every series exists in the metrics recorded of %s', (version) => {
  const path = fileURLToPath(new URL(`../../fixtures/vllm/v${version}/metrics.txt`, import.meta.url))
  const text = readFileSync(path, 'utf8')
  const recorded = seriesOf(text)
  const mine = seriesOf(simulated(version))
  expect([...mine.series].filter((series) => !recorded.series.has(series))).toEqual([])
  for (const [name, type] of mine.types)
    expect({ name, type }).toEqual({ name, type: recorded.types.get(name) })
  expect(mine.series.size).toBeGreaterThan(100)

  const labels = (metrics: string): string[] => {
    const line =
      metrics.split('\n').find((candidate) => candidate.startsWith('vllm:cache_config_info{')) ?? ''
    return [...line.matchAll(/(\w+)="/g)].map(([, label]) => label ?? '')
  }
  const known = labels(text)
  expect(labels(simulated(version)).filter((label) => !known.includes(label))).toEqual([])
  expect(simulated(version)).toMatch(/block_size="32".*num_gpu_blocks="13"/)
})

test('a histogram counts into every bucket at or above a value', () => {
  const histogram = new Histogram([1, 2, 5])
  for (const value of [0.5, 1, 1.5, 7]) histogram.record(value)
  expect(histogram.snapshot()).toEqual({ bounds: [1, 2, 5], counts: [2, 3, 3], count: 4, sum: 10 })
})
