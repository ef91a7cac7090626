/** What a replay measured: latency, cache, regions, and how well the predictions held. */

export type Outcome =
  | {
      readonly ok: true
      readonly ttftMs: number
      readonly promptTokens: number
      readonly cachedTokens: number
      readonly region: string
      /** null when the endpoint sent no receipt. */
      readonly predictedTtftMs: number | null
    }
  | { readonly ok: false; readonly error: string }

export interface Summary {
  readonly requests: number
  readonly failed: number
  /** Cached share of all prompt tokens, from the engines' own usage. */
  readonly cachedTokenShare: number
  /** What one cache without limits would have held of the same requests. */
  readonly infiniteCacheShare: number
  readonly ttftMs: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number }
  readonly byRegion: Readonly<Record<string, number>>
  readonly prediction: {
    /** Requests with a prediction. */
    readonly requests: number
    readonly medianErrorMs: number
    /** Median of |predicted - actual| / actual. */
    readonly medianErrorShare: number
  }
  /** The most frequent errors, with their counts. */
  readonly errors: Readonly<Record<string, number>>
}

const ERRORS_MAX = 10

export function summarize(outcomes: readonly Outcome[], infiniteCacheShare: number): Summary {
  const answered = outcomes.filter((outcome) => outcome.ok)
  const ttfts = answered.map(({ ttftMs }) => ttftMs)
  const predicted = answered.flatMap(({ ttftMs, predictedTtftMs }) =>
    predictedTtftMs === null ? [] : [{ errorMs: Math.abs(predictedTtftMs - ttftMs), ttftMs }],
  )
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
  const promptTokens = sum(answered.map((outcome) => outcome.promptTokens))
  return {
    requests: outcomes.length,
    failed: outcomes.length - answered.length,
    cachedTokenShare:
      promptTokens === 0 ? 0 : sum(answered.map((outcome) => outcome.cachedTokens)) / promptTokens,
    infiniteCacheShare,
    ttftMs: {
      p50: quantile(ttfts, 0.5),
      p90: quantile(ttfts, 0.9),
      p99: quantile(ttfts, 0.99),
      max: quantile(ttfts, 1),
    },
    byRegion: count(answered.map(({ region }) => region)),
    prediction: {
      requests: predicted.length,
      medianErrorMs: quantile(
        predicted.map(({ errorMs }) => errorMs),
        0.5,
      ),
      medianErrorShare: quantile(
        predicted.map(({ errorMs, ttftMs }) => errorMs / ttftMs),
        0.5,
      ),
    },
    errors: count(outcomes.flatMap((outcome) => (outcome.ok ? [] : [outcome.error]))),
  }
}

/** The smallest value with at least the share `q` of all values at or below it; 0 of nothing. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(Math.ceil(sorted.length * q) - 1, 0)] ?? 0
}

function count(names: readonly string[]): Record<string, number> {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return Object.fromEntries([...counts].toSorted((a, b) => b[1] - a[1]).slice(0, ERRORS_MAX))
}

/** A table of runs side by side: one column a run. */
export function formatSummaries(
  runs: readonly { readonly name: string; readonly summary: Summary }[],
): string {
  const ms = (value: number) => `${Math.round(value)} ms`
  const percent = (value: number) => `${(value * 100).toFixed(1)} %`
  const rows: [string, (summary: Summary) => string][] = [
    ['requests', (s) => String(s.requests)],
    ['failed', (s) => String(s.failed)],
    ['TTFT p50', (s) => ms(s.ttftMs.p50)],
    ['TTFT p90', (s) => ms(s.ttftMs.p90)],
    ['TTFT p99', (s) => ms(s.ttftMs.p99)],
    ['TTFT longest', (s) => ms(s.ttftMs.max)],
    ['cached tokens', (s) => percent(s.cachedTokenShare)],
    [
      'of an infinite cache',
      (s) => percent(s.infiniteCacheShare === 0 ? 0 : s.cachedTokenShare / s.infiniteCacheShare),
    ],
    [
      'predicted TTFT off by',
      (s) => `${ms(s.prediction.medianErrorMs)} (${percent(s.prediction.medianErrorShare)})`,
    ],
  ]
  const regions = [...new Set(runs.flatMap(({ summary }) => Object.keys(summary.byRegion)))].toSorted()
  for (const region of regions) rows.push([`served by ${region}`, (s) => String(s.byRegion[region] ?? 0)])
  const table = [
    ['', ...runs.map(({ name }) => name)],
    ...rows.map(([label, cell]) => [label, ...runs.map(({ summary }) => cell(summary))]),
  ]
  const widths =
    table[0]?.map((_, column) => Math.max(...table.map((row) => (row[column] ?? '').length))) ?? []
  return table
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  '),
    )
    .join('\n')
}
