/**
 * What an engine's `/metrics` says, as far as it can be true. vLLM's names and SGLang's; one engine of several behind a
 * server is told by the label `engine` or `dp_rank`.
 */
export interface EngineReading {
  readonly running: number | null
  readonly waiting: number | null
  /** Used share of the KV space, 0 to 1. */
  readonly kvUsage: number | null
  /** Prompt tokens that were looked up in the prefix cache, and found. */
  readonly cacheQueries: number | null
  readonly cacheHits: number | null
  /** Seconds since the epoch on the engine's clock: another number is another process. */
  readonly processStartS: number | null
  readonly blockTokens: number | null
  readonly gpuBlocks: number | null
  readonly hasPrefixCache: boolean | null
  readonly isAsleep: boolean
  /** Names of metrics whose values cannot be true; they count as absent. */
  readonly impossible: readonly string[]
}

type Field = 'running' | 'waiting' | 'kvUsage' | 'cacheQueries' | 'cacheHits' | 'processStartS'

const FIELDS: Readonly<Record<string, Field>> = {
  'vllm:num_requests_running': 'running',
  'vllm:num_requests_waiting': 'waiting',
  'vllm:kv_cache_usage_perc': 'kvUsage',
  'vllm:gpu_cache_usage_perc': 'kvUsage',
  'vllm:prefix_cache_queries_total': 'cacheQueries',
  'vllm:prefix_cache_hits_total': 'cacheHits',
  'sglang:num_running_reqs': 'running',
  'sglang:num_queue_reqs': 'waiting',
  'sglang:token_usage': 'kvUsage',
  process_start_time_seconds: 'processStartS',
}
const CACHE_CONFIG = 'vllm:cache_config_info'
const SLEEP_STATE = 'vllm:engine_sleep_state'
/** No engine holds so many requests, and no block is so large. */
const REQUESTS_MAX = 1_000_000
const BLOCK_TOKENS_MAX = 65_536
/** Rounding may carry a share a little over one. */
const SHARE_MAX = 1.001
const LINES_MAX = 100_000

/** `rank`: the engine to read, of a server that has several; null takes the sum of counts, the highest usage. */
export function readEngineMetrics(text: string, rank: number | null, nowS: number): EngineReading {
  const values = new Map<Field, number>()
  const impossible = new Set<string>()
  let config: Readonly<Record<string, string>> | null = null
  let isAsleep = false
  for (const { name, labels, value } of samples(text)) {
    const engine = labels['engine'] ?? labels['dp_rank']
    if (rank !== null && engine !== undefined && engine !== String(rank)) continue
    if (name === CACHE_CONFIG) config ??= labels
    else if (name === SLEEP_STATE) isAsleep ||= labels['sleep_state'] !== 'awake' && value === 1
    const field = Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined
    if (!field) continue
    if (!isPossible(field, value, nowS)) {
      impossible.add(name)
      continue
    }
    const known = values.get(field)
    values.set(
      field,
      known === undefined ? value : field === 'kvUsage' ? Math.max(known, value) : known + value,
    )
  }
  const queries = values.get('cacheQueries') ?? null
  const hits = values.get('cacheHits') ?? null
  if (queries !== null && hits !== null && hits > queries) impossible.add('vllm:prefix_cache_hits_total')
  const size = (label: string, max: number) => {
    const text_ = config?.[label]
    if (text_ === undefined || text_ === 'None') return null
    const number = Number(text_)
    if (Number.isInteger(number) && number > 0 && number <= max) return number
    impossible.add(`${CACHE_CONFIG}{${label}}`)
    return null
  }
  const blockTokens = size('block_size', BLOCK_TOKENS_MAX)
  const gpuBlocks = size('num_gpu_blocks', Number.MAX_SAFE_INTEGER)
  const caching = config?.['enable_prefix_caching']
  return {
    running: values.get('running') ?? null,
    waiting: values.get('waiting') ?? null,
    kvUsage: values.has('kvUsage') ? Math.min(values.get('kvUsage') ?? 0, 1) : null,
    cacheQueries: queries,
    cacheHits: hits !== null && queries !== null && hits > queries ? null : hits,
    processStartS: values.get('processStartS') ?? null,
    blockTokens,
    gpuBlocks,
    hasPrefixCache: caching === undefined ? null : caching === 'True',
    isAsleep,
    impossible: [...impossible],
  }
}

/** Whether `next` is of another process than `previous`. */
export function isAnotherProcess(previous: EngineReading | null, next: EngineReading): boolean {
  const before = previous?.processStartS ?? null
  return before !== null && next.processStartS !== null && Math.abs(before - next.processStartS) > 1
}

/** A start far ahead of our clock is no time; a little ahead is another clock. */
const CLOCK_SKEW_S_MAX = 86_400

function isPossible(field: Field, value: number, nowS: number): boolean {
  if (!Number.isFinite(value) || value < 0) return false
  if (field === 'kvUsage') return value <= SHARE_MAX
  if (field === 'running' || field === 'waiting') return value <= REQUESTS_MAX
  if (field === 'processStartS') return value > 0 && value <= nowS + CLOCK_SKEW_S_MAX
  return true
}

function isOfInterest(name: string): boolean {
  return Object.hasOwn(FIELDS, name) || name === CACHE_CONFIG || name === SLEEP_STATE
}

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** The samples of interest. Histograms are most of the text and are passed over unparsed. */
function* samples(text: string): Generator<Sample> {
  let at = 0
  for (let lines = 0; at < text.length && lines < LINES_MAX; lines++) {
    const end = text.indexOf('\n', at)
    const line = text.slice(at, end < 0 ? text.length : end)
    at = end < 0 ? text.length : end + 1
    const name = /^[A-Za-z_:][\w:]*/.exec(line)?.[0]
    if (name === undefined || !isOfInterest(name)) continue
    const match = /^(?:\{(.*)\})?\s+(\S+)/.exec(line.slice(name.length))
    if (!match) continue
    const labels: Record<string, string> = {}
    for (const [, label = '', value = ''] of (match[1] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
      labels[label] = value
    yield { name, labels, value: Number(match[2]) }
  }
}
