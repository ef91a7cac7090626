/** Stages of a workload side by side, and Isotherm beside the baseline in each. */
import type { Metrics } from './metrics.ts'
import type { ResultFile } from './result-file.ts'
import { pairsOf, policiesOf, runsOf, variantsOf } from './selection.ts'
import { interval } from './statistics.ts'
import type { Table } from './table-data.ts'

export function stageTables(result: ResultFile): Table[] {
  const [first] = result.runs
  if (!first || first.stages.length === 0) return []
  const names = first.stages.map(({ name }) => name)
  const meanOf = (variant: string, policy: string, stage: number, pick: (metrics: Metrics) => number) => {
    const values = runsOf(result, variant, policy).map((run) => run.stages[stage])
    return interval(values.flatMap((value) => (value ? [pick(value.metrics)] : []))).mean
  }
  const p90 = ({ ttftMs }: Metrics) => ttftMs.p90
  const rate = ({ outputTokensPerS }: Metrics) => outputTokensPerS
  const rows = pairsOf(result).map(([variant, policy]) => [
    `${variant} ${policy}`.trim(),
    ...names.map((_, stage) => {
      const seconds = meanOf(variant, policy, stage, p90) / 1000
      return `${seconds.toFixed(2)} / ${Math.round(meanOf(variant, policy, stage, rate))}`
    }),
  ])
  const tables: Table[] = [{ title: 'By stage: TTFT p90 s / output tok/s', head: ['policy', ...names], rows }]
  const { baseline } = result
  const policies = policiesOf(result)
  if (baseline === null || !policies.includes('isotherm') || !policies.includes(baseline)) return tables
  const ratios = variantsOf(result).map((variant) => [
    variant,
    ...names.map((_, stage) => {
      const of = (pick: (metrics: Metrics) => number) =>
        meanOf(variant, 'isotherm', stage, pick) / meanOf(variant, baseline, stage, pick)
      return `${of(p90).toFixed(2)} / ${of(rate).toFixed(2)}`
    }),
  ])
  tables.push({
    title: `By stage: Isotherm / ${baseline}, TTFT p90 and output tok/s`,
    head: ['variant', ...names],
    rows: ratios,
  })
  return tables
}
