import { expect, test } from 'vitest'
import { chartsOf } from '../../../simulator/charts.ts'
import { policyByName } from '../../../simulator/policies/catalogue.ts'
import { markdownOf } from '../../../simulator/report/markdown.ts'
import { pageOf } from '../../../simulator/report/page.ts'
import type { ResultFile } from '../../../simulator/report/result-file.ts'
import { play } from '../../../simulator/scenario/play.ts'
import { parseScenario } from '../../../simulator/scenario/scenario.ts'

const scenario = parseScenario(
  {
    name: 'b2b-73',
    title: 'A <small> one',
    world: {
      regions: ['us-east'],
      clusters: [{ region: 'us-east', endpoints: [{ count: 2, profile: 'qwen3-32b-tp2-h100' }] }],
    },
    workload: {
      kind: 'shared-prefix',
      groups: 60,
      usersPerGroup: 2,
      systemTokens: 2000,
      questionTokens: 200,
      outputTokens: 20,
      stages: [
        { ratePerS: 5, seconds: 10, isWarmup: true },
        { ratePerS: 10, seconds: 10, name: '20/s' },
        { ratePerS: 20, seconds: 10 },
      ],
    },
    policies: ['isotherm', 'llm-d-precise'],
    windows: [{ name: 'start', fromS: 0, untilS: 5 }],
  },
  'test',
)

const result: ResultFile = {
  format: 2,
  scenario: scenario.name,
  title: scenario.title,
  baseline: null,
  kneeMs: 3000,
  seeds: 2,
  runs: scenario.policies.flatMap((name) =>
    ['1x', '2x'].flatMap((variant) =>
      [1, 2].map((seed) => play(scenario, variant, policyByName(name)!, seed, null)),
    ),
  ),
}

test('the page is one file that asks nobody for anything', () => {
  const page = pageOf([result], chartsOf)
  expect(page.match(/<svg/g)?.length).toBeGreaterThanOrEqual(4)
  expect(page).not.toMatch(/(src|href)="(?!#)/)
  expect(page).not.toMatch(/@import|url\((?!#)|<script/)
  expect(page).toContain('A &lt;small&gt; one')
})

test('the Markdown has each table: measured, gains, stages, split, knee, published', () => {
  const text = markdownOf([result])
  for (const title of [
    'Measured',
    'Isotherm against each',
    'By stage',
    'By time',
    'By kind of request',
    'Where the time to the first token goes',
    'What it spends',
    'Knee',
    'Beside the published figures',
  ])
    expect(text).toContain(`**${title}`)
  expect(text).toMatch(/\| 1x \| isotherm \| [0-9.]+ ± /)
  // The published 0.6 s at 20/s stands beside the simulated value and their ratio.
  expect(text).toMatch(/\| llm-d-precise \| 20\/s \| TTFT p90 s \| 0\.6 \| [0-9.]+ \| [0-9.]+ \|/)
})

test('metrics of a run say what was served, split and hit', () => {
  const [{ overall, stages, windows, labels }] = result.runs as [ResultFile['runs'][number]]
  expect(stages.map(({ name }) => name)).toEqual(['20/s', '20/s'])
  expect(overall.lost + overall.broken).toBe(0)
  expect(overall.requests).toBe(stages.reduce((sum, { metrics }) => sum + metrics.requests, 0))
  const { rttMs, queueMs, loadMs, prefillMs, handoffMs } = overall.split
  expect(rttMs + queueMs + loadMs + prefillMs + handoffMs).toBeCloseTo(overall.ttftMs.mean, 6)
  expect(overall.hitShare.gpu).toBeGreaterThan(0.3)
  expect(overall.precision).toBeGreaterThan(0.5)
  expect(overall.prefillGpuMs.computed).toBeLessThan(overall.prefillGpuMs.cold)
  // One region: nothing leaves it.
  expect(overall.wideAreaBytes).toBe(0)
  expect(windows[0]!.metrics.requests).toBeGreaterThan(0)
  expect(labels.map(({ name }) => name)).toEqual(['again', 'first'])
})

test('a published ratio stands beside that of the same two runs, and is left out when one was not played', () => {
  const run = (variant: string, policy: string, tokensPerS: number) => {
    const [{ overall }] = result.runs as [ResultFile['runs'][number]]
    const metrics = { ...overall, outputTokensPerS: tokensPerS }
    return { ...result.runs[0]!, variant, policy, stages: [{ name: '40/s', metrics }] }
  }
  const tiers: ResultFile = {
    ...result,
    scenario: 'tiers',
    runs: [run('GPU only', 'llm-d-load', 5000), run('DRAM', 'llm-d-load', 7000)],
  }
  const text = markdownOf([tiers])
  expect(text).toContain(
    '| CPU offload against GPU only | DRAM llm-d-load / GPU only llm-d-load | tok/s | 1.75 | 1.40 | 0.80 |',
  )
  expect(text).not.toContain('tier-aware routing')
})
