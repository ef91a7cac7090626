/** Simulated figures beside published ones of the same workload. */
import type { Metrics } from './metrics.ts'
import { PUBLISHED, PUBLISHED_RATIOS, type PublishedCell } from './published.ts'
import type { ResultFile } from './result-file.ts'
import { runsOf } from './selection.ts'
import { interval } from './statistics.ts'
import type { Table } from './table-data.ts'

export function publishedTable(result: ResultFile): Table[] {
  const cells = PUBLISHED.filter(({ scenario }) => scenario === result.scenario)
  const rows = cells.flatMap((cell) => {
    const value = simulated(result, cell)
    if (value === null) return []
    const ratio = value / cell.value
    return [
      [cell.policy, cell.stage ?? 'all', cell.what, String(cell.value), value.toFixed(2), ratio.toFixed(2)],
    ]
  })
  if (rows.length === 0) return []
  const head = ['policy', 'stage', 'figure', 'published', 'simulated', 'ratio']
  return [{ title: 'Beside the published figures', head, rows }]
}

function simulated(result: ResultFile, { policy, stage, what }: PublishedCell): number | null {
  const runs = result.runs.filter((run) => run.policy === policy)
  const all = runs.flatMap((run) =>
    stage === null
      ? [run.overall]
      : run.stages.flatMap(({ name, metrics }) => (name === stage ? [metrics] : [])),
  )
  if (all.length === 0) return null
  const pick = (metrics: Metrics): number =>
    what === 'tok/s'
      ? metrics.outputTokensPerS
      : (what === 'TTFT p90 s' ? metrics.ttftMs.p90 : metrics.ttftMs.mean) / 1000
  return interval(all.map(pick)).mean
}

/** Publications that tell only how much better one run was than another. */
export function publishedRatioTable(result: ResultFile): Table[] {
  const rows = PUBLISHED_RATIOS.filter(({ scenario }) => scenario === result.scenario).flatMap(
    ({ said, stage, of, to, figure, pick, value }) => {
      const meanOf = ({ variant, policy }: typeof of) => {
        const all = runsOf(result, variant, policy).flatMap((run) =>
          stage === null
            ? [run.overall]
            : run.stages.flatMap(({ name, metrics }) => (name === stage ? [metrics] : [])),
        )
        return interval(all.map(pick)).mean
      }
      const base = meanOf(to)
      const simulated = meanOf(of) / base
      if (base === 0 || simulated === 0) return []
      const name = ({ variant, policy }: typeof of) => `${variant} ${policy}`
      return [
        [
          said,
          `${name(of)} / ${name(to)}`,
          figure,
          value.toFixed(2),
          simulated.toFixed(2),
          (simulated / value).toFixed(2),
        ],
      ]
    },
  )
  if (rows.length === 0) return []
  const head = ['published as', 'simulated as', 'figure', 'published', 'simulated', 'ratio']
  return [{ title: 'Beside published ratios', head, rows }]
}
