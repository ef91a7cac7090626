/**
 * The NIXL hand-off through vLLM's HTTP contract: a prefill leg that answers with transfer params, a decode leg that takes
 * them verbatim, once. Both bodies are made from one request; neither changes it.
 * https://docs.vllm.ai/en/latest/features/nixl_connector_usage.html
 */
export type JsonObject = Readonly<Record<string, unknown>>

/** What a prefill engine says about the KV that it holds for a decode engine. Opaque but for what must be there. */
export interface TransferParams {
  readonly verbatim: JsonObject
  /** `usage.prompt_tokens_details` of the prefill leg: what was really cached. */
  readonly cachedDetails: unknown
}

const PREFILL_PARAMS = {
  do_remote_decode: true,
  do_remote_prefill: false,
  remote_engine_id: null,
  remote_block_ids: null,
  remote_host: null,
  remote_port: null,
}

/** One token, not streamed: the prefill leg ends when the prompt's KV is there. */
export function prefillBody(request: JsonObject): JsonObject {
  const { stream_options: _, min_tokens: __, stream_interval: ___, ...rest } = request
  return {
    ...rest,
    stream: false,
    max_tokens: 1,
    ...('max_completion_tokens' in request ? { max_completion_tokens: 1 } : {}),
    kv_transfer_params: PREFILL_PARAMS,
  }
}

/**
 * The transfer params of a prefill answer, or null when it has none. A decode leg without `remote_request_id` hangs and
 * then kills a real decode engine, so anything incomplete is null too, and the decode engine prefills itself.
 */
export function parseTransferParams(answer: unknown): TransferParams | null {
  const params = isObject(answer) ? answer['kv_transfer_params'] : null
  if (!isObject(params)) return null
  const isComplete =
    params['do_remote_prefill'] === true &&
    isText(params['remote_engine_id']) &&
    isText(params['remote_request_id']) &&
    isText(params['remote_host']) &&
    isPort(params['remote_port']) &&
    Array.isArray(params['remote_block_ids']) &&
    params['remote_block_ids'].length > 0
  if (!isComplete) return null
  const usage = isObject(answer) ? answer['usage'] : null
  return {
    verbatim: params,
    cachedDetails: isObject(usage) ? (usage['prompt_tokens_details'] ?? null) : null,
  }
}

/**
 * A decode engine before 0.31 does not know what the prefill engine had cached and counts the whole transfer as cached.
 * Newer ones take it from the params. Gives the answer with the prefill leg's own figures, or null when it needs none.
 */
export function correctUsage(
  answer: unknown,
  { verbatim, cachedDetails }: TransferParams,
): JsonObject | null {
  if ('remote_prefill_cached_tokens' in verbatim || !isObject(answer) || !isObject(answer['usage']))
    return null
  return { ...answer, usage: { ...answer['usage'], prompt_tokens_details: cachedDetails } }
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0
}

function isPort(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= 65_535
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
