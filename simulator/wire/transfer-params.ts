/**
 * `kv_transfer_params` of the NIXL connector: what a router sends on the prefill leg, what the prefill engine answers,
 * and what the decode engine makes of it. All keys and JSON types are those of the recorded hand-offs.
 */
import { isCurrent, type EngineVersion } from './engine-version.ts'
import { isObject } from './field-reader.ts'

/** Where the KV of one prompt waits. */
export interface TransferSource {
  readonly requestId: string
  readonly engineId: string
  readonly host: string
  readonly port: number
  readonly blockIds: readonly number[]
  /** What the prefill engine had cached; null when the key is missing or of another type. */
  readonly cachedTokens: number | null
}

/** `hang`: a decode leg without `remote_request_id` waits for ever, and the engine dies when its client leaves. */
export type TransferRole =
  | { readonly kind: 'local' }
  | { readonly kind: 'producer' }
  | { readonly kind: 'consumer'; readonly source: TransferSource }
  | { readonly kind: 'hang' }

const LOCAL: TransferRole = { kind: 'local' }
const BLOCKS_MAX = 1_000_000

/** What the parameters of a request make of it. Incomplete decode parameters mean a local prefill, with one exception. */
export function readTransferParams(params: Readonly<Record<string, unknown>> | null): TransferRole {
  if (params === null) return LOCAL
  if (params['do_remote_decode'] === true) return { kind: 'producer' }
  if (params['do_remote_prefill'] !== true) return LOCAL
  const {
    remote_engine_id: engineId,
    remote_host: host,
    remote_port: port,
    remote_request_id: requestId,
  } = params
  const blockIds = flatBlocks(params['remote_block_ids'])
  if (typeof engineId !== 'string' || typeof host !== 'string' || blockIds === null) return LOCAL
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) return LOCAL
  if (requestId === undefined || requestId === null) return { kind: 'hang' }
  const cached = params['remote_prefill_cached_tokens']
  const cachedTokens = typeof cached === 'number' && Number.isInteger(cached) && cached >= 0 ? cached : null
  return {
    kind: 'consumer',
    source: {
      requestId: typeof requestId === 'string' ? requestId : JSON.stringify(requestId),
      engineId,
      host,
      port,
      blockIds,
      cachedTokens,
    },
  }
}

/** Exact prompt tokens instead of the messages: 0.32 takes them from anybody. */
export function readPromptTokens(
  params: Readonly<Record<string, unknown>> | null,
  version: EngineVersion,
): readonly number[] | null {
  const tokens = isObject(params) && isCurrent(version) ? params['prompt_token_ids'] : null
  const isTokens =
    Array.isArray(tokens) && tokens.length > 0 && tokens.every((token) => Number.isInteger(token))
  return isTokens ? tokens : null
}

/** The prefill engine's answer. */
export function transferParams(
  source: Omit<TransferSource, 'cachedTokens'>,
  promptTokens: number,
  cachedTokens: number,
  version: EngineVersion,
): object {
  return {
    do_remote_prefill: true,
    do_remote_decode: false,
    remote_block_ids: [source.blockIds],
    remote_engine_id: source.engineId,
    remote_request_id: source.requestId,
    remote_host: source.host,
    remote_port: source.port,
    tp_size: 1,
    dcp_size: 1,
    pp_size: 1,
    remote_num_tokens: promptTokens,
    remote_blocks_expiry_time: null,
    transfer_mode: 'pull',
    ...(isCurrent(version) ? { remote_prefill_cached_tokens: cachedTokens } : {}),
  }
}

/** One list for each KV group; before hybrid models a flat list. */
function flatBlocks(value: unknown): number[] | null {
  if (!Array.isArray(value) || value.length > BLOCKS_MAX) return null
  const blocks = Array.isArray(value[0]) ? value[0] : value
  return blocks.every((block) => Number.isInteger(block)) ? blocks : null
}
