/**
 * NixlConnector in pull mode: the prefill leg answers with transfer params, the decode leg takes them verbatim, once.
 * https://docs.vllm.ai/en/latest/features/nixl_connector_usage.html
 */
import type { Connector } from './connector.ts'
import { isObject } from './json.ts'

/** More blocks than any engine has: 16 tokens each, for 64 M tokens. */
const BLOCKS_MAX = 4_000_000
const TEXT_MAX = 512

const PREFILL_PARAMS = {
  do_remote_decode: true,
  do_remote_prefill: false,
  remote_engine_id: null,
  remote_block_ids: null,
  remote_host: null,
  remote_port: null,
}

export const NIXL: Connector = {
  name: 'nixl',
  decodeStarts: 'after-prefill',
  prefillParams: () => PREFILL_PARAMS,
  /** Opaque but for what must be there: a key that is lost or changes its type is ignored by decode, or kills it. */
  decodeParams(_, answer) {
    const params = isObject(answer) ? answer['kv_transfer_params'] : null
    if (!isObject(params)) return null
    const isWhole =
      params['do_remote_prefill'] === true &&
      params['do_remote_decode'] === false &&
      isText(params['remote_engine_id']) &&
      isText(params['remote_request_id']) &&
      isText(params['remote_host']) &&
      isCount(params['remote_port'], 1, 65_535) &&
      isBlocks(params['remote_block_ids']) &&
      isCachedCount(params['remote_prefill_cached_tokens'], params['remote_num_tokens'])
    return isWhole ? params : null
  },
}

/** One list for each KV group; before hybrid models one flat list. */
function isBlocks(value: unknown): boolean {
  if (!Array.isArray(value) || value.length === 0 || value.length > BLOCKS_MAX) return false
  if (!Array.isArray(value[0])) return value.every((block) => isCount(block, 0))
  const groups = value as readonly unknown[]
  const isGroup = (group: unknown) => Array.isArray(group) && group.every((block) => isCount(block, 0))
  return groups.every(isGroup) && groups.some((group) => (group as readonly unknown[]).length > 0)
}

/** Engines before 0.31 do not say it. They do not check its range: it ends in the client's usage. */
function isCachedCount(cached: unknown, tokens: unknown): boolean {
  if (cached === undefined) return true
  return isCount(cached, 0, typeof tokens === 'number' ? tokens : Number.MAX_SAFE_INTEGER)
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0 && value.length <= TEXT_MAX
}

function isCount(value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
}
