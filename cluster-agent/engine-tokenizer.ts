/**
 * An engine asked for the tokens of a prompt: exact, at the price of a round trip and of the engine's CPU. Its render route
 * knows every field of a request, but is closed by default; `/tokenize` knows most.
 */
import { request } from 'undici'
import { boundedText } from './bounded-text.ts'
import type { PromptApi } from '../protocol/apis.ts'
import { isObject, type JsonObject } from './handoff/json.ts'
import type { TokenizedPrompt } from './prompt/understanding.ts'

const TOKENIZE_MS_MAX = 10_000
const ANSWER_BYTES_MAX = 64 * 1024 * 1024

/** Fields that `/tokenize` leaves out of the prompt: it would answer with other tokens than a request gets. */
const UNKNOWN_TO_TOKENIZE = ['documents', 'reasoning_effort', 'truncate_prompt_tokens'] as const
const CHAT_FIELDS = [
  'messages',
  'tools',
  'chat_template',
  'chat_template_kwargs',
  'add_generation_prompt',
  'continue_final_message',
  'add_special_tokens',
] as const

/** null when the engine will not say. `url` null: no engine can be asked. Rejects when it does not answer. */
export async function askTokens(
  url: string | null,
  model: string,
  api: PromptApi,
  body: JsonObject,
): Promise<TokenizedPrompt | null> {
  if (url === null || (api !== 'chat' && api !== 'completions')) return null
  if (UNKNOWN_TO_TOKENIZE.some((name) => body[name] !== undefined && body[name] !== null)) return null
  const { prompt } = body
  if (api === 'completions' && typeof prompt !== 'string') return null
  const fields =
    api === 'chat'
      ? Object.fromEntries(CHAT_FIELDS.flatMap((name) => (name in body ? [[name, body[name]]] : [])))
      : { prompt, add_special_tokens: body['add_special_tokens'] !== false }
  const answer = await post(`${url}/tokenize`, { model, return_token_strs: true, ...fields })
  return isObject(answer) ? readTokens(answer) : null
}

function readTokens({ tokens, token_strs: pieces }: JsonObject): TokenizedPrompt | null {
  if (!isListOf(tokens, 'number') || !isListOf(pieces, 'string') || pieces.length !== tokens.length)
    return null
  // Byte-level vocabularies write a space as U+0120 and a line feed as U+010A, one character for one; other bytes stay
  // unmapped, which only makes the alignment stop early.
  const text = pieces.join('').replaceAll('\u0120', ' ').replaceAll('\u010a', '\n')
  let end = 0
  return {
    rendered: { text, knownUnits: text.length },
    tokens: Uint32Array.from(tokens),
    tokenEnds: Uint32Array.from(pieces, (piece) => (end += piece.length)),
    specials: null,
    splitsWords: false,
  }
}

/** null for a refusal, and for an answer that is no JSON or too long. */
async function post(url: string, body: object): Promise<unknown> {
  const response = await request(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    headersTimeout: TOKENIZE_MS_MAX,
    bodyTimeout: TOKENIZE_MS_MAX,
  })
  const text = await boundedText(response.body, ANSWER_BYTES_MAX)
  if (text === null || response.statusCode !== 200) return null
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Checked by hand: a schema costs more than the rest for lists of ten thousand. */
function isListOf<T extends 'number' | 'string'>(
  value: unknown,
  type: T,
): value is (T extends 'number' ? number : string)[] {
  return Array.isArray(value) && value.every((item) => typeof item === type)
}
