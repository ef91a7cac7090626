/**
 * The prompt's tokens as the prefill engine counted them, on the decode leg: it need not tokenise again, and cannot come to
 * other tokens than those whose KV it pulls. vLLM from 0.32 takes them of chats, in `kv_transfer_params.prompt_token_ids`, and
 * ignores them beside images.
 */
import { isObject, type JsonObject } from './json.ts'

/** Longest prompt whose tokens are sent: about 900 KB of JSON. */
const TOKENS_MAX = 131_072
const FIRST_VERSION = [0, 32] as const

/** null: the engine's version is not known. */
export function takesExactTokens(version: string | null): boolean {
  const [major = 0, minor = 0] = (version ?? '').split('.', 2).map(Number)
  return major > FIRST_VERSION[0] || (major === FIRST_VERSION[0] && minor >= FIRST_VERSION[1])
}

/** `params` with the tokens that the prefill leg's `answer` names, or as they are. */
export function withExactTokens(params: JsonObject, answer: unknown): JsonObject {
  const tokens = promptTokens(answer)
  const isAll = tokens !== null && tokens.length === params['remote_num_tokens']
  return isAll ? { ...params, prompt_token_ids: tokens } : params
}

/** Chats name them on the answer, completions on its only choice. */
function promptTokens(answer: unknown): readonly number[] | null {
  if (!isObject(answer)) return null
  const choice: unknown = Array.isArray(answer['choices']) ? answer['choices'][0] : null
  const tokens = answer['prompt_token_ids'] ?? (isObject(choice) ? choice['prompt_token_ids'] : null)
  if (!Array.isArray(tokens) || tokens.length === 0 || tokens.length > TOKENS_MAX) return null
  return tokens.every((token) => Number.isSafeInteger(token) && token >= 0) ? tokens : null
}
