/** Metrics of the regions in Prometheus' text format, version 0.0.4. */
import type { HistogramFamily, MetricFamily, MetricsSnapshot } from '../../protocol/receipt-record.ts'

export interface RegionMetrics {
  readonly region: string
  /** null: the region did not answer. */
  readonly snapshot: MetricsSnapshot | null
}

export function metricsText(regions: readonly RegionMetrics[]): string {
  const lines = [
    '# HELP isotherm_region_up Whether the receipts of the region answered',
    '# TYPE isotherm_region_up gauge',
    ...regions.map(
      ({ region, snapshot }) => `isotherm_region_up${labelsText({ region })} ${snapshot ? 1 : 0}`,
    ),
  ]
  const told = regions.flatMap(({ region, snapshot }) => (snapshot ? [{ region, snapshot }] : []))
  const [first] = told
  for (const { name, help } of first?.snapshot.counters ?? []) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} counter`)
    for (const { region, snapshot } of told) {
      const family = snapshot.counters.find((other) => other.name === name)
      if (family) lines.push(...counterLines(region, family))
    }
  }
  for (const { name, help } of first?.snapshot.histograms ?? []) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} histogram`)
    for (const { region, snapshot } of told) {
      const family = snapshot.histograms.find((other) => other.name === name)
      if (family) lines.push(...histogramLines(region, family))
    }
  }
  return `${lines.join('\n')}\n`
}

function counterLines(region: string, { name, samples }: MetricFamily): string[] {
  return samples.map(({ labels, value }) => `${name}${labelsText({ region, ...labels })} ${value}`)
}

function histogramLines(region: string, { name, bounds, histograms }: HistogramFamily): string[] {
  return histograms.flatMap(({ labels, counts, sum }) => {
    const own = { region, ...labels }
    let below = 0
    const buckets = counts.map((count, index) => {
      below += count
      return `${name}_bucket${labelsText({ ...own, le: String(bounds[index] ?? '+Inf') })} ${below}`
    })
    return [...buckets, `${name}_sum${labelsText(own)} ${sum}`, `${name}_count${labelsText(own)} ${below}`]
  })
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escape(value)}"`)
  return `{${pairs.join(',')}}`
}

function escape(value: string): string {
  return value
    .replaceAll('\\', String.raw`\\`)
    .replaceAll('"', String.raw`\"`)
    .replaceAll('\n', String.raw`\n`)
}
