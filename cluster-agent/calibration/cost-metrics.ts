/**
 * vLLM's `/metrics` as far as the choice needs it. Names of every supported version; a missing one is null, not zero.
 * Label `engine` tells data-parallel ranks apart; series without it belong to all.
 */

export interface CostSample {
  /** Of the process: another value is another process. */
  readonly startS: number | null
  readonly running: number | null
  readonly waiting: number | null
  /** Pinned share of the KV space, 0 to 1. */
  readonly kvUsage: number | null
  readonly kvTokens: number | null
  /** Counters. Prompt tokens that were computed, and those of all prompts with what was cached. */
  readonly computedTokens: number | null
  readonly generatedTokens: number | null
  readonly finished: number | null
  readonly gapSumS: number | null
  readonly gaps: number | null
  readonly loadBytes: number | null
  readonly loadS: number | null
  readonly pullBytes: number | null
  readonly pullS: number | null
  readonly adapters: { readonly slots: number; readonly running: readonly string[] } | null
}

/** Longer than any engine's; the rest is not read. */
export const METRICS_BYTES_MAX = 4 * 1024 * 1024

const LINE = /^([a-z_:]+)(?:\{(.*)\})? ([^ ]+)/i
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/gi

export function readCostMetrics(text: string, rank: number | null): CostSample {
  const values = new Map<string, number>()
  let kvTokens: number | null = null
  let adapters: CostSample['adapters'] = null
  let adaptersAt = -Infinity
  for (const line of text.slice(0, METRICS_BYTES_MAX).split('\n')) {
    // Buckets are most of the page.
    if (line.startsWith('#') || line.includes('_bucket{')) continue
    if (!line.startsWith('vllm:') && !line.startsWith('process_start')) continue
    const [, name = '', labelText = '', valueText = ''] = LINE.exec(line) ?? []
    const value = Number(valueText)
    if (name === 'vllm:lora_requests_info') {
      if (!(value >= adaptersAt)) continue
      adaptersAt = value
      adapters = adaptersOf(labelsOf(labelText))
      continue
    }
    const labels = labelsOf(labelText)
    const engine = labels.get('engine')
    if (rank !== null && engine !== undefined && engine !== String(rank)) continue
    if (name === 'vllm:cache_config_info') {
      kvTokens = kvTokensOf(labels)
      continue
    }
    const source = labels.get('source')
    const key = source === undefined ? name : `${name} ${source}`
    const known = values.get(key) ?? 0
    // Ranks behind one URL: counts add up, shares do not.
    values.set(key, name.endsWith('_usage_perc') ? Math.max(known, value) : known + value)
  }
  const of = (name: string) => values.get(name) ?? null
  return {
    startS: of('process_start_time_seconds'),
    running: of('vllm:num_requests_running'),
    waiting: of('vllm:num_requests_waiting'),
    kvUsage: of('vllm:kv_cache_usage_perc') ?? of('vllm:gpu_cache_usage_perc'),
    kvTokens,
    computedTokens: of('vllm:prompt_tokens_by_source_total local_compute') ?? of('vllm:prompt_tokens_total'),
    generatedTokens: of('vllm:generation_tokens_total'),
    finished: of('vllm:request_success_total'),
    gapSumS: of('vllm:inter_token_latency_seconds_sum') ?? of('vllm:time_per_output_token_seconds_sum'),
    gaps: of('vllm:inter_token_latency_seconds_count') ?? of('vllm:time_per_output_token_seconds_count'),
    loadBytes: of('vllm:kv_offload_load_bytes_total'),
    loadS: of('vllm:kv_offload_load_time_total'),
    pullBytes: of('vllm:nixl_bytes_transferred_sum'),
    pullS: of('vllm:nixl_xfer_time_seconds_sum'),
    adapters,
  }
}

function labelsOf(text: string): ReadonlyMap<string, string> {
  return new Map([...text.matchAll(LABEL)].map(([, name = '', value = '']) => [name, value]))
}

function kvTokensOf(labels: ReadonlyMap<string, string>): number | null {
  const told = Number(labels.get('kv_cache_size_tokens'))
  const tokens = told > 0 ? told : Number(labels.get('num_gpu_blocks')) * Number(labels.get('block_size'))
  return Number.isFinite(tokens) && tokens > 0 ? tokens : null
}

function adaptersOf(labels: ReadonlyMap<string, string>): CostSample['adapters'] {
  const names = (key: string) => (labels.get(key) ?? '').split(',').filter((name) => name !== '')
  return { slots: Number(labels.get('max_lora')), running: names('running_lora_adapters') }
}
