/** What an engine says that an answer took, in the words of any of its APIs. */
import { isObject, type JsonObject } from '../handoff/json.ts'

export interface Usage {
  /** Includes the cached ones. */
  readonly promptTokens: number
  /** null: the engine does not say (`--enable-prompt-tokens-details` is off). */
  readonly cachedTokens: number | null
  readonly outputTokens: number
}

const TOKENS_MAX = 0xffffffff

/** A `usage` object of chat, completions, responses or messages. null for anything else, and for impossible counts. */
export function readUsage(value: unknown): Usage | null {
  if (!isObject(value)) return null
  if ('prompt_tokens' in value) {
    const cached = detail(value['prompt_tokens_details'], 'cached_tokens')
    return usageOf(value['prompt_tokens'], cached, value['completion_tokens'] ?? 0)
  }
  if ('cache_read_input_tokens' in value) {
    // Anthropic's `input_tokens` leaves out what was read from and written to the cache.
    const read = value['cache_read_input_tokens'] ?? 0
    const all = sum(value['input_tokens'], read, value['cache_creation_input_tokens'] ?? 0)
    return usageOf(all, read, value['output_tokens'] ?? 0)
  }
  if (!('input_tokens' in value)) return null
  const cached = detail(value['input_tokens_details'], 'cached_tokens')
  return usageOf(value['input_tokens'], cached, value['output_tokens'] ?? 0)
}

/** The same usage with the prefill leg's details: what was really cached. */
export function withDetails(usage: JsonObject, details: unknown): JsonObject {
  return { ...usage, prompt_tokens_details: details }
}

function usageOf(prompt: unknown, cached: unknown, output: unknown): Usage | null {
  if (!isTokens(prompt) || !isTokens(output)) return null
  const cachedTokens = isTokens(cached) && cached <= prompt ? cached : null
  return { promptTokens: prompt, cachedTokens, outputTokens: output }
}

function detail(details: unknown, name: string): unknown {
  return isObject(details) ? details[name] : null
}

function sum(...values: readonly unknown[]): number | null {
  let total = 0
  for (const value of values) {
    if (!isTokens(value)) return null
    total += value
  }
  return total
}

function isTokens(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= TOKENS_MAX
}
