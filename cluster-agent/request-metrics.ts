/**
 * Requests counted as they end, by model only: endpoints come and go, and their series with them. On the request path they are
 * plain numbers, which become Prometheus' when they are scraped.
 */
import { Counter, type Metric, type Registry } from 'prom-client'
import type { FinishedRequest, RequestObserver } from './finished-request.ts'
import { Tally } from './vitals/tally.ts'

const SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120]
/** Measured / predicted: around 1 when the price is right. */
const RATIOS = [0.1, 0.25, 0.5, 0.67, 0.8, 0.9, 1.1, 1.25, 1.5, 2, 4, 10]
const TOKENS = [0, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144]

/** What is counted of one model. */
class ModelTally {
  /** By `end` and status, as `endKey` joins them. */
  readonly requests = new Map<string, number>()
  readonly tokens = { prompt: 0, cached: 0, output: 0, predicted_cached: 0 }
  readonly ttft = new Tally(SECONDS)
  readonly ttftRatio = new Tally(RATIOS)
  readonly duration = new Tally(SECONDS)
  readonly over = new Tally(TOKENS)
  readonly under = new Tally(TOKENS)

  note({ end, status, ttftMs, predictedTtftMs, durationMs, ...counted }: FinishedRequest): void {
    const { promptTokens, cachedTokens, outputTokens, matchedTokens } = counted
    const key = endKey(end, status)
    this.requests.set(key, (this.requests.get(key) ?? 0) + 1)
    this.duration.observe(durationMs / 1000)
    this.tokens.prompt += promptTokens ?? 0
    this.tokens.cached += cachedTokens ?? 0
    this.tokens.output += outputTokens ?? 0
    if (ttftMs !== null) this.ttft.observe(ttftMs / 1000)
    if (ttftMs !== null && predictedTtftMs) this.ttftRatio.observe(ttftMs / predictedTtftMs)
    if (end !== 'complete') return
    this.tokens.predicted_cached += matchedTokens
    if (cachedTokens === null) return
    const error = matchedTokens - cachedTokens
    const direction = error >= 0 ? this.over : this.under
    direction.observe(Math.abs(error))
  }
}

export class RequestMetrics implements RequestObserver {
  readonly #models = new Map<string, ModelTally>()

  constructor(registry: Registry) {
    const models = this.#models
    const ends = new Counter({
      name: 'isotherm_agent_requests_total',
      help: 'Requests that ended, by how.',
      labelNames: ['model', 'end', 'status'],
      registers: [],
      collect() {
        this.reset()
        for (const [model, { requests }] of models)
          for (const [key, count] of requests) this.inc({ model, ...endLabels(key) }, count)
      },
    })
    const tokens = new Counter({
      name: 'isotherm_agent_tokens_total',
      help: 'Tokens of requests that ended: prompt, of it cached as reported and as predicted, and output.',
      labelNames: ['model', 'kind'],
      registers: [],
      collect() {
        this.reset()
        for (const [model, tally] of models)
          for (const [kind, count] of Object.entries(tally.tokens)) this.inc({ model, kind }, count)
      },
    })
    for (const counter of [ends, tokens]) registry.registerMetric(counter)
    const histogram = (name: string, help: string, series: (tally: ModelTally) => readonly Series[]) =>
      registry.registerMetric(histogramOf(`isotherm_agent_${name}`, help, models, series))
    histogram(
      'time_to_first_byte_seconds',
      'From the arrival of a request to the first byte of its answer.',
      ({ ttft }) => [{ tally: ttft }],
    )
    histogram(
      'ttft_measured_to_predicted_ratio',
      'Time to the first byte, measured / predicted.',
      ({ ttftRatio }) => [{ tally: ttftRatio }],
    )
    histogram('request_duration_seconds', 'From the arrival of a request to its end.', ({ duration }) => [
      { tally: duration },
    ])
    histogram(
      'cached_tokens_error',
      'Cached tokens, predicted and reported: how far apart.',
      ({ over, under }) => [
        { tally: over, direction: 'over' },
        { tally: under, direction: 'under' },
      ],
    )
  }

  noteFinished(request: FinishedRequest): void {
    const known = this.#models.get(request.model)
    const tally = known ?? new ModelTally()
    if (!known) this.#models.set(request.model, tally)
    tally.note(request)
  }
}

interface Series {
  readonly tally: Tally
  readonly direction?: string
}

/** As prom-client's own histogram gives itself out; the registry asks for no more than `get`. */
function histogramOf(
  name: string,
  help: string,
  models: ReadonlyMap<string, ModelTally>,
  series: (tally: ModelTally) => readonly Series[],
): Metric {
  const get = () => {
    const all = [...models].flatMap(([model, tally]) =>
      series(tally).map(({ tally: one, ...labels }) => ({ one, labels: { model, ...labels } })),
    )
    const values = all
      .filter(({ one }) => one.count > 0)
      .flatMap(({ one, labels }) => samples(name, one, labels))
    return Promise.resolve({ name, help, type: 'histogram', aggregator: 'sum', values })
  }
  return { name, help, get, reset: () => undefined } as unknown as Metric
}

function samples(name: string, tally: Tally, labels: Readonly<Record<string, string>>) {
  const bucket = (le: number | string, value: number) => ({
    metricName: `${name}_bucket`,
    labels: { le, ...labels },
    value,
  })
  const counts = tally.cumulative()
  return [
    ...counts.map((value, at) => bucket(tally.bounds[at] ?? 0, value)),
    bucket('+Inf', tally.count),
    { metricName: `${name}_sum`, labels, value: tally.sum },
    { metricName: `${name}_count`, labels, value: tally.count },
  ]
}

function endKey(end: string, status: number): string {
  return `${end} ${status}`
}

function endLabels(key: string) {
  const [end = '', status = ''] = key.split(' ')
  return { end, status }
}
