/** What each leg says beside the client's own body. Later keys win, so these decide. */
import type { PromptApi } from '../../core/prompt-bytes.ts'
import { isObject, type JsonObject } from './json.ts'

/** Fields that bound an answer, by API: the prefill leg ends when the prompt's KV is there. */
const LIMIT_FIELDS: Readonly<Record<string, readonly string[]>> = {
  chat: ['max_tokens', 'max_completion_tokens'],
  responses: ['max_output_tokens'],
}
const LIMIT_FIELDS_USUAL = ['max_tokens']

/** One token, not streamed. `returnsTokenIds`: the answer names the prompt's tokens, for the decode leg. */
export function prefillFields(
  api: PromptApi,
  request: JsonObject,
  params: JsonObject,
  returnsTokenIds: boolean,
): JsonObject {
  // The answer of one token is nobody's: kept, it would stand under the id of the real one.
  const fields: Record<string, unknown> = { stream: false, ...(api === 'responses' ? { store: false } : {}) }
  for (const name of LIMIT_FIELDS[api] ?? LIMIT_FIELDS_USUAL)
    if (name === 'max_tokens' || name in request || name === 'max_output_tokens') fields[name] = 1
  if ('min_tokens' in request) fields['min_tokens'] = 0
  // null where a value would be refused: of one token nothing is streamed.
  for (const name of ['stream_options', 'stream_interval']) if (name in request) fields[name] = null
  if (returnsTokenIds) fields['return_token_ids'] = true
  return { ...fields, kv_transfer_params: params }
}

/**
 * Asks a stream for its usage. A client that did not ask for it gets the stream as if nobody had: the answer's reader takes
 * the usage out again, so it must come once, at the end.
 */
export function usageFields(api: PromptApi, request: JsonObject): JsonObject {
  if (!hidesUsage(api, request)) return {}
  const options = isObject(request['stream_options']) ? request['stream_options'] : {}
  return { stream_options: { ...options, include_usage: true, continuous_usage_stats: false } }
}

/** Whether a stream's usage is for the agent only. Other APIs always end their streams with it. */
export function hidesUsage(api: PromptApi, request: JsonObject): boolean {
  if (request['stream'] !== true || (api !== 'chat' && api !== 'completions')) return false
  const options = request['stream_options']
  return !(isObject(options) && options['include_usage'] === true)
}
