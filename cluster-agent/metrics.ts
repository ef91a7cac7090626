/**
 * `/metrics` in Prometheus text. Gauges are read when they are scraped. The pool's means stand under the names of llm-d's
 * endpoint picker as well, so that the agent can be a spoke of an llm-d hub.
 */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { FinishedRequest, RequestObserver } from './finished-request.ts'
import type { PoolView } from './pool-view.ts'
import { RequestMetrics } from './request-metrics.ts'

export class AgentMetrics implements RequestObserver {
  readonly #registry = new Registry()
  readonly #requests: RequestMetrics

  constructor(pool: PoolView) {
    this.#requests = new RequestMetrics(this.#registry)
    addEndpointGauges(pool, this.#registry)
    addPoolGauges(pool, this.#registry)
    collectDefaultMetrics({ register: this.#registry, prefix: 'isotherm_agent_' })
  }

  noteFinished(request: FinishedRequest): void {
    this.#requests.noteFinished(request)
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }
}

function addEndpointGauges(pool: PoolView, registry: Registry): void {
  const gauge = (
    name: string,
    help: string,
    value: (endpoint: ReturnType<PoolView['endpoints']>[number]) => number | null,
  ) =>
    new Gauge({
      name: `isotherm_endpoint_${name}`,
      help,
      labelNames: ['endpoint', 'role'],
      registers: [registry],
      collect() {
        // Endpoints come and go: the series of those that are gone end.
        this.reset()
        for (const endpoint of pool.endpoints()) {
          const now = value(endpoint)
          if (now !== null) this.set({ endpoint: endpoint.name, role: endpoint.role }, now)
        }
      },
    })
  gauge('available', 'Whether it takes requests.', ({ unavailable }) => Number(unavailable === null))
  gauge('backlog_seconds', 'Prefill work that is booked and not done.', ({ backlogMs }) => backlogMs / 1000)
  gauge('legs', 'Legs of requests under way.', ({ legs }) => legs)
  gauge('kv_pressure_ratio', 'Booked share of the KV space.', ({ kvPressure }) => kvPressure)
  gauge('engine_running', 'Requests that the engine says it runs.', ({ reading }) => reading?.running ?? null)
  gauge('engine_waiting', 'Requests that the engine says wait.', ({ reading }) => reading?.waiting ?? null)
  gauge('engine_kv_usage_ratio', 'KV usage as the engine says.', ({ reading }) => reading?.kvUsage ?? null)
  gauge('impossible_metrics', 'Values of its metrics that could not be true.', ({ impossible }) => impossible)
  gauge('events_live', 'Whether its KV events are followed.', ({ events }) =>
    Number(events?.state === 'live'),
  )
  gauge('event_messages', 'Messages of KV events.', ({ events }) => events?.messages ?? null)
  gauge('event_gaps', 'Gaps in its KV events.', ({ events }) => events?.gaps ?? null)
  gauge('event_malformed', 'Messages that were not KV events.', ({ events }) => events?.malformed ?? null)
  gauge('fences', 'How often its residency was forgotten.', ({ events }) => events?.fences ?? null)
  gauge(
    'predictions_exact_ratio',
    'Share of the last requests whose cached tokens were as predicted.',
    ({ accuracy }) => (accuracy && accuracy.reported > 0 ? accuracy.exact / accuracy.reported : null),
  )
  gauge(
    'ttft_ratio',
    'Median of measured / predicted time to the first byte of its last requests.',
    ({ accuracy }) => accuracy?.ttftRatio ?? null,
  )
  const diagnoses = new Gauge({
    name: 'isotherm_endpoint_diagnosis',
    help: 'Why predictions of cached tokens do not come true; 1 for the reason.',
    labelNames: ['endpoint', 'diagnosis'],
    registers: [],
    collect() {
      this.reset()
      for (const { name, diagnosis } of pool.endpoints())
        if (diagnosis !== null) this.set({ endpoint: name, diagnosis }, 1)
    },
  })
  registry.registerMetric(diagnoses)
}

/**
 * Names and label of llm-d/llm-d-router `pkg/epp/metrics`; means over the endpoints that take requests. KV and queue are
 * the engines' own figures where they report them, the agent's bookings where they do not.
 */
function addPoolGauges(pool: PoolView, registry: Registry): void {
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['name'],
      registers: [registry],
      collect() {
        this.set({ name: pool.name }, value())
      },
    })
  const ready = () => pool.endpoints().filter(({ unavailable }) => unavailable === null)
  const series = {
    kv_cache_utilization: () => ready().map(({ reading, kvPressure }) => reading?.kvUsage ?? kvPressure),
    queue_size: () => ready().map(({ reading, waiting }) => reading?.waiting ?? waiting),
    running_requests: () => ready().map(({ reading, legs }) => reading?.running ?? legs),
  }
  for (const [name, values] of Object.entries(series)) {
    gauge(`llm_d_epp_average_${name}`, `Mean ${name} of the ready endpoints.`, () => mean(values()))
    gauge(`llm_d_epp_std_dev_${name}`, `Spread of ${name} over the ready endpoints.`, () => spread(values()))
  }
  gauge('llm_d_epp_ready_endpoints', 'Endpoints that take requests.', () => ready().length)
  const total = (name: string, help: string, value: () => number) =>
    new Gauge({
      name: `isotherm_agent_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(value())
      },
    })
  total('blocks', 'KV blocks that are known.', () => pool.totals().blocks)
  total('markers', 'Markers of prompts in the ledger.', () => pool.totals().markers)
  total('orphans', 'Stores that wait for their parent.', () => pool.totals().orphans)
  total('prompts_pending', 'Prompts that wait to be learnt.', () => pool.totals().promptsPending)
  total('prompts_dropped', 'Prompts dropped from a full queue.', () => pool.totals().promptsDropped)
  total(
    'endpoints_refused',
    'Endpoints that wait for a number: endpointsMax is too low.',
    () => pool.totals().endpointsRefused,
  )
  total('decisions', 'Choices of a pair of endpoints.', () => pool.totals().decisions)
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length
}

function spread(values: readonly number[]): number {
  const middle = mean(values)
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)))
}
