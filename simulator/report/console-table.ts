/** The result of a scenario as text, a row a variant and policy: means over seeds. */
import type { Metrics } from './metrics.ts'
import { mean } from './metrics.ts'
import type { ResultFile } from './result-file.ts'

const COLUMNS: readonly (readonly [string, (metrics: Metrics) => number, number])[] = [
  ['p50', ({ ttftMs }) => ttftMs.p50, 0],
  ['p90', ({ ttftMs }) => ttftMs.p90, 0],
  ['p95', ({ ttftMs }) => ttftMs.p95, 0],
  ['p99', ({ ttftMs }) => ttftMs.p99, 0],
  ['long p90', ({ longPromptTtftP90Ms }) => longPromptTtftP90Ms, 0],
  ['mean', ({ ttftMs }) => ttftMs.mean, 0],
  ['tpot p50', ({ tpotMs }) => tpotMs.p50, 1],
  ['e2e p90', ({ endToEndMs }) => endToEndMs.p90, 0],
  ['tok/s', ({ outputTokensPerS }) => outputTokensPerS, 0],
  ['hit', ({ hitShare }) => hitShare.gpu + hitShare.lower, 3],
  ['good/s', ({ goodputPerS }) => goodputPerS, 2],
  ['precise', ({ precision }) => precision ?? 0, 2],
  ['GPU ms', ({ prefillGpuMs }) => prefillGpuMs.computed, 0],
  ['WAN kB', ({ wideAreaBytes }) => wideAreaBytes / 1000, 1],
  ['away', ({ awayShare }) => awayShare, 2],
  ['lost', ({ lost }) => lost, 0],
  ['broken', ({ broken }) => broken, 0],
  ['preempt', ({ preemptions }) => preemptions, 0],
  ['pred err', ({ predictionErrorShare }) => predictionErrorShare ?? 0, 2],
]

export function consoleTable({ scenario, runs }: ResultFile): string {
  const groups = new Map<string, Metrics[]>()
  const add = (key: string, metrics: Metrics) => {
    const list = groups.get(key) ?? []
    groups.set(key, list)
    list.push(metrics)
  }
  for (const { variant, policy, overall, stages, labels, windows } of runs) {
    const name = `${variant} ${policy}`.trim()
    add(name, overall)
    for (const stage of stages) add(`${name} ${stage.name}`, stage.metrics)
    for (const window of windows) add(`${name} (${window.name})`, window.metrics)
    for (const label of labels) add(`${name} [${label.name}]`, label.metrics)
  }
  const rows = [
    [scenario, ...COLUMNS.map(([head]) => head)],
    ...[...groups].map(([name, list]) => [
      name,
      ...COLUMNS.map(([, of, digits]) => mean(list.map(of)).toFixed(digits)),
    ]),
  ]
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length))) ?? []
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join('  '),
    )
    .join('\n')
}
