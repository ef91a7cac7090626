/** Simulated figures beside published ones of the same workload. */
import type { Metrics } from './metrics.ts'
import { PUBLISHED, type PublishedCell } from './published.ts'
import type { ResultFile } from './result-file.ts'
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
