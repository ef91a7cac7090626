/** Counts of a region for Prometheus. Label values that come from outside are bounded: beyond it they are `other`. */
import type { Outcome } from '../../protocol/outcome.ts'
import type {
  EdgeNote,
  HistogramFamily,
  MetricFamily,
  MetricHistogram,
  MetricSample,
  MetricsSnapshot,
} from '../../protocol/receipt-record.ts'

const SERIES_MAX = 256
const TTFT_MS_BOUNDS = [25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000]
/** Actual over predicted. */
const ERROR_BOUNDS = [0.25, 0.5, 0.8, 0.95, 1.05, 1.25, 2, 4]

const COUNTERS = {
  isotherm_requests_total: 'Requests by status and by why their cluster was chosen',
  isotherm_failovers_total: 'Attempts beyond the first',
  isotherm_outcomes_total: 'Attempts as the agents saw them end',
  isotherm_tokens_total: 'Tokens by kind as the engines counted them',
  isotherm_edge_events_total: 'Counters of the isolates',
} as const
const HISTOGRAMS = {
  isotherm_ttft_milliseconds: { help: 'Time to first byte at the agent', bounds: TTFT_MS_BOUNDS },
  isotherm_ttft_actual_over_predicted: {
    help: 'Time to first byte over its prediction',
    bounds: ERROR_BOUNDS,
  },
} as const
type CounterName = keyof typeof COUNTERS
type HistogramName = keyof typeof HISTOGRAMS

/** The form in which a tally is stored. */
export interface TallyState {
  readonly counters: readonly (readonly [string, readonly (readonly [string, number])[]])[]
  readonly histograms: readonly (readonly [string, readonly (readonly [string, MetricHistogram])[]])[]
}

export class Tally {
  readonly #counters = new Map<string, Map<string, number>>()
  readonly #histograms = new Map<string, Map<string, MetricHistogram>>()

  constructor(state: TallyState | null = null) {
    for (const [name, series] of state?.counters ?? []) this.#counters.set(name, new Map(series))
    for (const [name, series] of state?.histograms ?? []) this.#histograms.set(name, new Map(series))
  }

  state(): TallyState {
    return {
      counters: [...this.#counters].map(([name, series]) => [name, [...series]]),
      histograms: [...this.#histograms].map(([name, series]) => [name, [...series]]),
    }
  }

  addNote(note: EdgeNote): void {
    this.#count('isotherm_requests_total', { status: String(note.status), reason: note.reason ?? 'none' }, 1)
    const cluster = note.attempts.at(-1)?.cluster ?? 'none'
    this.#count('isotherm_failovers_total', { cluster }, Math.max(0, note.attempts.length - 1))
  }

  addEvents(counters: Readonly<Record<string, number>>): void {
    for (const [event, count] of Object.entries(counters)) {
      if (Number.isFinite(count)) this.#count('isotherm_edge_events_total', { event }, count)
    }
  }

  addOutcome(outcome: Outcome): void {
    const { cluster, model, end, ttftMs, predictedTtftMs } = outcome
    this.#count('isotherm_outcomes_total', { cluster, model, end }, 1)
    const cached = outcome.cachedTokens ?? 0
    const kinds = {
      uncached: Math.max(0, (outcome.promptTokens ?? 0) - cached),
      cached,
      output: outcome.outputTokens ?? 0,
    }
    for (const [kind, tokens] of Object.entries(kinds)) {
      this.#count('isotherm_tokens_total', { cluster, model, kind }, tokens)
    }
    if (ttftMs === null) return
    this.#observe('isotherm_ttft_milliseconds', { cluster, model }, ttftMs)
    if (predictedTtftMs === null || predictedTtftMs <= 0) return
    this.#observe('isotherm_ttft_actual_over_predicted', { cluster, model }, ttftMs / predictedTtftMs)
  }

  snapshot(): MetricsSnapshot {
    return {
      counters: Object.entries(COUNTERS).map(([name, help]): MetricFamily => {
        const series = this.#counters.get(name) ?? new Map<string, number>()
        return {
          name,
          help,
          samples: [...series].map(([key, value]): MetricSample => ({ labels: labelsOf(key), value })),
        }
      }),
      histograms: Object.entries(HISTOGRAMS).map(([name, { help, bounds }]): HistogramFamily => ({
        name,
        help,
        bounds,
        histograms: [...(this.#histograms.get(name)?.values() ?? [])],
      })),
    }
  }

  #count(name: CounterName, labels: Readonly<Record<string, string>>, count: number): void {
    const series = this.#counters.get(name) ?? new Map<string, number>()
    this.#counters.set(name, series)
    const key = keyWithin(series, labels)
    series.set(key, (series.get(key) ?? 0) + count)
  }

  #observe(name: HistogramName, labels: Readonly<Record<string, string>>, value: number): void {
    const series = this.#histograms.get(name) ?? new Map<string, MetricHistogram>()
    this.#histograms.set(name, series)
    const { bounds } = HISTOGRAMS[name]
    const key = keyWithin(series, labels)
    const before = series.get(key)
    const counts = [...(before?.counts ?? Array.from({ length: bounds.length + 1 }, () => 0))]
    const bucket = bounds.findIndex((bound) => value <= bound)
    const at = bucket === -1 ? bounds.length : bucket
    counts[at] = (counts[at] ?? 0) + 1
    series.set(key, { labels: labelsOf(key), counts, sum: (before?.sum ?? 0) + value })
  }
}

function keyWithin(series: ReadonlyMap<string, unknown>, labels: Readonly<Record<string, string>>): string {
  const key = JSON.stringify(labels)
  if (series.has(key) || series.size < SERIES_MAX) return key
  return JSON.stringify(Object.fromEntries(Object.keys(labels).map((name) => [name, 'other'])))
}

function labelsOf(key: string): Record<string, string> {
  return JSON.parse(key) as Record<string, string>
}
