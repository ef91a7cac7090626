/**
 * `/metrics` in Prometheus text with vLLM's names and labels, as far as routers read them. Counters end in `_total`;
 * every series has the labels `engine` and `model_name` unless vLLM leaves one out.
 */
import type { EngineCounters } from '../engine/counters.ts'
import { isCurrent, type EngineVersion } from './engine-version.ts'
import { Histogram, type HistogramSnapshot } from './histogram.ts'

const SECONDS = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
  2560,
]
const GAP_SECONDS = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
]
const LONG_SECONDS = [
  0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
]

/** Latencies of one engine in seconds, by vLLM's names. */
export class EngineHistograms {
  readonly timeToFirstToken = new Histogram(SECONDS)
  readonly interTokenLatency = new Histogram(GAP_SECONDS)
  readonly e2eLatency = new Histogram(LONG_SECONDS)
  readonly queueTime = new Histogram(LONG_SECONDS)
  readonly prefillTime = new Histogram(LONG_SECONDS)
  readonly decodeTime = new Histogram(LONG_SECONDS)
}

export interface MetricsInput {
  readonly model: string
  readonly version: EngineVersion
  readonly running: number
  readonly waiting: number
  /** Of those that wait: for a load, not for space. */
  readonly deferred: number
  readonly kvUsage: number
  readonly blockTokens: number
  /** With the null block, as vLLM counts. */
  readonly gpuBlocks: number
  readonly startS: number
  readonly counters: EngineCounters
  readonly histograms: EngineHistograms
}

type Labels = Readonly<Record<string, string>>

export function metricsText(input: MetricsInput): string {
  const { counters, histograms } = input
  const text = new MetricsText({ engine: '0', model_name: input.model }, input.startS)
  text.bare(
    'process_start_time_seconds',
    'gauge',
    'Start time of the process since unix epoch in seconds.',
    input.startS,
  )
  text.gauge('vllm:num_requests_running', 'Number of requests in model execution batches.', input.running)
  text.gauge('vllm:num_requests_waiting', 'Number of requests waiting to be processed.', input.waiting)
  text.gauges('vllm:num_requests_waiting_by_reason', 'Number of waiting requests by reason.', 'reason', {
    capacity: input.waiting - input.deferred,
    deferred: input.deferred,
  })
  text.gauge('vllm:kv_cache_usage_perc', 'KV-cache usage. 1 means 100 percent usage.', input.kvUsage)
  const local = counters.prefixHits
  const external = counters.dramTokens + counters.remoteTokens
  const counterRows: readonly [string, string, number][] = [
    ['vllm:prefix_cache_queries', 'Prefix cache queries, in tokens.', counters.prefixQueries],
    ['vllm:prefix_cache_hits', 'Prefix cache hits, in tokens.', local],
    [
      'vllm:external_prefix_cache_queries',
      'External prefix cache queries, in tokens.',
      counters.prefixQueries - local,
    ],
    ['vllm:external_prefix_cache_hits', 'External prefix cache hits, in tokens.', external],
    ['vllm:num_preemptions', 'Cumulative number of preemptions.', counters.preemptions],
    ['vllm:prompt_tokens', 'Number of prefill tokens processed.', counters.promptTokens],
    ['vllm:prompt_tokens_cached', 'Number of cached prompt tokens.', local + external],
    ['vllm:generation_tokens', 'Number of generation tokens processed.', counters.generatedTokens],
  ]
  for (const [name, help, value] of counterRows) text.counter(name, help, value)
  text.counters('vllm:prompt_tokens_by_source', 'Number of prompt tokens by source.', 'source', {
    local_compute: counters.promptTokens - local - external,
    local_cache_hit: local,
    external_kv_transfer: external,
  })
  if (isCurrent(input.version)) {
    text.counters(
      'vllm:prompt_tokens_cached_by_source',
      'Number of cached prompt tokens by source.',
      'source',
      {
        device: local,
        host: counters.dramTokens,
        p2p: counters.remoteTokens,
        disk: 0,
        external_unspecified: 0,
      },
    )
  }
  text.counters('vllm:request_success', 'Count of successfully processed requests.', 'finished_reason', {
    ...counters.finished,
    repetition: 0,
  })
  const histogramRows: readonly [string, string, Histogram][] = [
    [
      'vllm:time_to_first_token_seconds',
      'Histogram of time to first token in seconds.',
      histograms.timeToFirstToken,
    ],
    [
      'vllm:inter_token_latency_seconds',
      'Histogram of inter-token latency in seconds.',
      histograms.interTokenLatency,
    ],
    [
      'vllm:e2e_request_latency_seconds',
      'Histogram of e2e request latency in seconds.',
      histograms.e2eLatency,
    ],
    ['vllm:request_queue_time_seconds', 'Histogram of time spent in WAITING phase.', histograms.queueTime],
    [
      'vllm:request_prefill_time_seconds',
      'Histogram of time spent in PREFILL phase.',
      histograms.prefillTime,
    ],
    ['vllm:request_decode_time_seconds', 'Histogram of time spent in DECODE phase.', histograms.decodeTime],
  ]
  for (const [name, help, histogram] of histogramRows) text.histogram(name, help, histogram.snapshot())
  text.info('vllm:cache_config_info', 'Information of the LLMEngine CacheConfig', {
    block_size: String(input.blockTokens),
    cache_dtype: 'auto',
    enable_prefix_caching: 'True',
    engine: '0',
    gpu_memory_utilization: '0.92',
    ...(isCurrent(input.version)
      ? { kv_cache_size_tokens: String(input.gpuBlocks * input.blockTokens) }
      : {}),
    num_gpu_blocks: String(input.gpuBlocks),
    prefix_caching_hash_algo: 'sha256_cbor',
    sliding_window: 'None',
  })
  return text.toString()
}

/** Lines of the exposition format. prometheus_client prints every value as a float and sorts labels by name. */
class MetricsText {
  private readonly lines: string[] = []
  private readonly labels: Labels
  private readonly createdS: number

  constructor(labels: Labels, createdS: number) {
    this.labels = labels
    this.createdS = createdS
  }

  bare(name: string, type: string, help: string, value: number): void {
    this.describe(name, type, help)
    this.lines.push(`${name} ${float(value)}`)
  }

  gauge(name: string, help: string, value: number): void {
    this.describe(name, 'gauge', help)
    this.sample(name, this.labels, value)
  }

  gauges(name: string, help: string, label: string, values: Readonly<Record<string, number>>): void {
    this.describe(name, 'gauge', help)
    for (const [key, value] of Object.entries(values))
      this.sample(name, { ...this.labels, [label]: key }, value)
  }

  counter(name: string, help: string, value: number): void {
    this.describe(`${name}_total`, 'counter', help)
    this.sample(`${name}_total`, this.labels, value)
    this.created(name, help, this.labels)
  }

  counters(name: string, help: string, label: string, values: Readonly<Record<string, number>>): void {
    this.describe(`${name}_total`, 'counter', help)
    for (const [key, value] of Object.entries(values)) {
      this.sample(`${name}_total`, { ...this.labels, [label]: key }, value)
    }
  }

  histogram(name: string, help: string, { bounds, counts, count, sum }: HistogramSnapshot): void {
    this.describe(name, 'histogram', help)
    bounds.forEach((bound, i) => {
      this.sample(`${name}_bucket`, { ...this.labels, le: float(bound) }, counts[i] ?? 0)
    })
    this.sample(`${name}_bucket`, { ...this.labels, le: '+Inf' }, count)
    this.sample(`${name}_count`, this.labels, count)
    this.sample(`${name}_sum`, this.labels, sum)
    this.created(name, help, this.labels)
  }

  info(name: string, help: string, labels: Labels): void {
    this.describe(name, 'gauge', help)
    this.sample(name, labels, 1)
  }

  toString(): string {
    return `${this.lines.join('\n')}\n`
  }

  private created(name: string, help: string, labels: Labels): void {
    this.describe(`${name}_created`, 'gauge', help)
    this.sample(`${name}_created`, labels, this.createdS)
  }

  private describe(name: string, type: string, help: string): void {
    this.lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
  }

  private sample(name: string, labels: Labels, value: number): void {
    const pairs = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))
    this.lines.push(
      `${name}{${pairs.map(([key, text]) => `${key}="${escapeLabel(text)}"`).join(',')}} ${float(value)}`,
    )
  }
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function float(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value)
}
