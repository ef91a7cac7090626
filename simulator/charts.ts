/** Charts of a result as SVG, drawn by echarts without a browser. */
import * as echarts from 'echarts'
import type { ResultFile } from './report/result-file.ts'
import { mean } from './report/metrics.ts'
import { policiesOf, runsOf, variantsOf } from './report/selection.ts'

const WIDTH = 1100
const HEIGHT = 420

interface Line {
  readonly name: string
  readonly type: 'line' | 'bar'
  readonly data: readonly (number | null)[]
  readonly showSymbol?: boolean
  readonly stack?: string
}

export function chartsOf(result: ResultFile): string[] {
  return [...stageCharts(result), ...sweepChart(result), ...timelineChart(result), splitChart(result)]
}

/** TTFT p90 and output rate by stage, one line a policy. */
function stageCharts(result: ResultFile): string[] {
  const [first] = result.runs
  if (!first || first.stages.length === 0) return []
  const names = first.stages.map(({ name }) => name)
  const [variant = ''] = variantsOf(result)
  const linesOf = (pick: (run: (typeof result.runs)[number], stage: number) => number): Line[] =>
    policiesOf(result).map((policy) => ({
      name: policy,
      type: 'line',
      data: names.map((_, stage) => mean(runsOf(result, variant, policy).map((run) => pick(run, stage)))),
    }))
  return [
    draw(
      'TTFT p90 by stage, s',
      names,
      'log',
      linesOf((run, i) => (run.stages[i]?.metrics.ttftMs.p90 ?? 0) / 1000),
    ),
    draw(
      'Output tokens a second by stage',
      names,
      'value',
      linesOf((run, i) => run.stages[i]?.metrics.outputTokensPerS ?? 0),
    ),
  ]
}

/** TTFT p90 by variant, one line a policy. */
function sweepChart(result: ResultFile): string[] {
  const variants = variantsOf(result)
  if (variants.length < 2) return []
  const lines = policiesOf(result).map((policy): Line => ({
    name: policy,
    type: 'line',
    data: variants.map((variant) => {
      const runs = runsOf(result, variant, policy)
      return runs.length === 0 ? null : mean(runs.map(({ overall }) => overall.ttftMs.p90)) / 1000
    }),
  }))
  return [draw('TTFT p90, s', variants, 'log', lines)]
}

/** TTFT p90 over the run, for scenarios that look at parts of it. */
function timelineChart(result: ResultFile): string[] {
  const [first] = result.runs
  if (!first || first.windows.length === 0) return []
  const times = first.timeline.map(({ fromS }) => fromS)
  const lines = policiesOf(result).map((policy): Line => {
    const run = runsOf(result, first.variant, policy)[0]
    const byTime = new Map(run?.timeline.map(({ fromS, p90Ms }) => [fromS, p90Ms / 1000]))
    return {
      name: policy,
      type: 'line',
      showSymbol: false,
      data: times.map((time) => byTime.get(time) ?? null),
    }
  })
  return [draw('TTFT p90 of each ten seconds of the first seed, s', times.map(String), 'log', lines)]
}

/** The mean TTFT by cause, one bar a policy, of the first variant. */
function splitChart(result: ResultFile): string {
  const [variant = ''] = variantsOf(result)
  const policies = policiesOf(result)
  const terms = ['rttMs', 'queueMs', 'loadMs', 'prefillMs', 'handoffMs'] as const
  const names = {
    rttMs: 'RTT',
    queueMs: 'queue',
    loadMs: 'load',
    prefillMs: 'prefill',
    handoffMs: 'hand-off',
  }
  const bars = terms.map((term): Line => ({
    name: names[term],
    type: 'bar',
    stack: 'ttft',
    data: policies.map((policy) =>
      mean(runsOf(result, variant, policy).map(({ overall }) => overall.split[term])),
    ),
  }))
  return draw(`Mean TTFT by cause, ms${variant === '' ? '' : `, ${variant}`}`, policies, 'value', bars)
}

function draw(
  title: string,
  categories: readonly string[],
  scale: 'log' | 'value',
  lines: readonly Line[],
): string {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: HEIGHT })
  chart.setOption({
    animation: false,
    title: { text: title, textStyle: { fontSize: 15 } },
    legend: { top: 28, type: 'plain' },
    grid: { top: 90, left: 70, right: 20, bottom: 40 },
    xAxis: { type: 'category', data: [...categories] },
    yAxis: { type: scale },
    // A logarithm knows no zero.
    series: lines.map((line) => ({
      ...line,
      data: line.data.map((value) => (scale === 'log' && value !== null && value <= 0 ? null : value)),
    })),
  })
  const svg = chart.renderToSVGString()
  chart.dispose()
  return svg
}
