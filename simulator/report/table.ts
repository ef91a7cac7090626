/** The tables of a report as data; Markdown and HTML write the same ones. */
import type { Metrics } from './metrics.ts'
import type { Table } from './table-data.ts'
import type { ResultFile } from './result-file.ts'
import { change, ms, percent, plain } from './cells.ts'
import { publishedRatioTable, publishedTable } from './published-table.ts'
import { pairsOf, policiesOf, runsOf, variantsOf } from './selection.ts'
import { spendTable } from './spend-table.ts'
import { stageTables } from './stage-tables.ts'
import { interval, knee, pairedGain } from './statistics.ts'

/** Variants of a sweep begin with the load: `1.5x` or `12/s`. */
const LOAD = /^(?:then )?([0-9.]+)(?:x|\/s)/

export function tablesOf(result: ResultFile): Table[] {
  return [
    mainTable(result),
    ...gainTable(result),
    ...stageTables(result),
    ...groupTable(result, 'windows', 'By time'),
    ...groupTable(result, 'labels', 'By kind of request'),
    splitTable(result),
    spendTable(result),
    ...kneeTable(result),
    ...publishedTable(result),
    ...publishedRatioTable(result),
  ]
}

function mainTable(result: ResultFile): Table {
  const rows = pairsOf(result).map(([variant, policy]) => {
    const all = runsOf(result, variant, policy).map(({ overall }) => overall)
    const of = (pick: (metrics: Metrics) => number) => interval(all.map(pick))
    return [
      variant,
      policy,
      ms(of(({ ttftMs }) => ttftMs.p50)),
      ms(of(({ ttftMs }) => ttftMs.p90)),
      ms(of(({ ttftMs }) => ttftMs.p99)),
      ms(of(({ longPromptTtftP90Ms }) => longPromptTtftP90Ms)),
      ms(of(({ tpotMs }) => tpotMs.p50)),
      ms(of(({ endToEndMs }) => endToEndMs.p90)),
      plain(of(({ outputTokensPerS }) => outputTokensPerS)),
      percent(of(({ hitShare }) => hitShare.gpu)),
      percent(of(({ hitShare }) => hitShare.lower)),
      percent(of(({ awayShare }) => awayShare)),
      plain(of(({ lost, broken }) => lost + broken)),
    ]
  })
  return {
    title: 'Measured',
    head: [
      'variant',
      'policy',
      'TTFT p50 ms',
      'p90',
      'p99',
      'p90 of the longest tenth',
      'TPOT p50 ms',
      'end to end p90 ms',
      'output tok/s',
      'hit GPU',
      'hit lower',
      'away',
      'lost or broken',
    ],
    rows,
    note: `Means over ${result.seeds} seed${result.seeds === 1 ? '' : 's'}; ± is half of a 95 % interval.`,
  }
}

function gainTable(result: ResultFile): Table[] {
  const ours = 'isotherm'
  if (!policiesOf(result).includes(ours)) return []
  const rows = pairsOf(result)
    .filter(([, policy]) => policy !== ours)
    .map(([variant, policy]) => {
      const mine = runsOf(result, variant, ours).map(({ overall }) => overall)
      const theirs = runsOf(result, variant, policy).map(({ overall }) => overall)
      const of = (pick: (metrics: Metrics) => number) => change(pairedGain(mine.map(pick), theirs.map(pick)))
      return [
        variant,
        policy,
        of(({ ttftMs }) => ttftMs.p50),
        of(({ ttftMs }) => ttftMs.p90),
        of(({ ttftMs }) => ttftMs.p99),
        of(({ longPromptTtftP90Ms }) => longPromptTtftP90Ms),
        of(({ endToEndMs }) => endToEndMs.p90),
        of(({ outputTokensPerS }) => outputTokensPerS),
      ]
    })
  return [
    {
      title: 'Isotherm against each',
      head: [
        'variant',
        'against',
        'TTFT p50',
        'p90',
        'p99',
        'p90 of the longest tenth',
        'end to end p90',
        'tok/s',
      ],
      rows,
      note: 'Change with Isotherm, paired by seed; negative times are gains.',
    },
  ]
}

function groupTable(result: ResultFile, kind: 'windows' | 'labels', title: string): Table[] {
  const [first] = result.runs
  if (!first || first[kind].length === 0) return []
  const rows = pairsOf(result).flatMap(([variant, policy]) => {
    const runs = runsOf(result, variant, policy)
    const names = [...new Set(runs.flatMap((run) => run[kind].map(({ name }) => name)))]
    return names.map((name) => {
      const all = runs
        .flatMap((run) => run[kind].filter((group) => group.name === name))
        .map(({ metrics }) => metrics)
      const of = (pick: (metrics: Metrics) => number) => interval(all.map(pick))
      return [
        variant,
        policy,
        name,
        plain(of(({ requests }) => requests)),
        ms(of(({ ttftMs }) => ttftMs.p50)),
        ms(of(({ ttftMs }) => ttftMs.p90)),
        ms(of(({ ttftMs }) => ttftMs.p99)),
        percent(of(({ hitShare }) => hitShare.gpu + hitShare.lower)),
        plain(of(({ lost }) => lost)),
        plain(of(({ broken }) => broken)),
      ]
    })
  })
  const head = ['variant', 'policy', 'part', 'requests', 'TTFT p50 ms', 'p90', 'p99', 'hit', 'lost', 'broken']
  return [{ title, head, rows }]
}

function splitTable(result: ResultFile): Table {
  const rows = pairsOf(result).map(([variant, policy]) => {
    const all = runsOf(result, variant, policy).map(({ overall }) => overall)
    const of = (pick: (metrics: Metrics) => number) => ms(interval(all.map(pick)))
    const errors = all.flatMap(({ predictionErrorShare }) => predictionErrorShare ?? [])
    return [
      variant,
      policy,
      of(({ split }) => split.rttMs),
      of(({ split }) => split.queueMs),
      of(({ split }) => split.loadMs),
      of(({ split }) => split.prefillMs),
      of(({ split }) => split.handoffMs),
      errors.length === 0 ? '–' : percent(interval(errors)),
      interval(all.map(({ fairness }) => fairness)).mean.toFixed(2),
    ]
  })
  return {
    title: 'Where the time to the first token goes',
    head: [
      'variant',
      'policy',
      'RTT ms',
      'queue',
      'load',
      'prefill',
      'hand-off',
      'prediction off by',
      "Jain's index",
    ],
    rows,
    note: 'Means over the served requests. The prediction is the median of |predicted − actual| / actual.',
  }
}

function kneeTable(result: ResultFile): Table[] {
  const variants = variantsOf(result).filter((variant) => /^[0-9.]+x$/.test(variant))
  if (variants.length < 2) return []
  const rows = policiesOf(result).map((policy) => {
    const points = variants.flatMap((variant) => {
      const load = Number(LOAD.exec(variant)?.[1])
      const all = runsOf(result, variant, policy)
      return all.length === 0 ? [] : [{ load, y: interval(all.map((run) => run.overall.ttftMs.p90)).mean }]
    })
    return [
      policy,
      kneeText(
        knee(points, result.kneeMs),
        points.map(({ load }) => load),
      ),
    ]
  })
  return [
    {
      title: `Knee: the load at which TTFT p90 reaches ${result.kneeMs} ms`,
      head: ['policy', 'load'],
      rows,
      note: 'Interpolated between the points of the sweep.',
    },
  ]
}

function kneeText(value: number | null, loads: readonly number[]): string {
  if (value === null) return `below ${Math.min(...loads)}x`
  return value === Infinity ? `above ${Math.max(...loads)}x` : `${value.toFixed(2)}x`
}
