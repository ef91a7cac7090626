/**
 * One line of a user's own log: an OpenAI-style request (`messages`, or `prompt`), alone or beside its answer, flat or
 * wrapped as `{request, response}` or `{body, response}`. What is wrong is said by field and never by value.
 */
import type { PromptApi } from '../../protocol/apis.ts'

type JsonObject = Readonly<Record<string, unknown>>

export interface LogRequest {
  readonly api: PromptApi
  readonly model: string
  readonly body: JsonObject
  /** Milliseconds since 1970 or since the log's start; null when the line has none. */
  readonly timestampMs: number | null
  /** As the line names its conversation, or null. */
  readonly session: string | null
  /** Whose prompts may share cache: they are hashed under one key. */
  readonly tenant: string
  readonly usage: {
    readonly promptTokens: number | null
    readonly cachedTokens: number | null
    readonly outputTokens: number | null
  }
  /** The answer as a message that the next turn would hold, or as text; null when it is not logged. */
  readonly answer: JsonObject | string | null
}

export type LogLine =
  | { readonly ok: true; readonly request: LogRequest }
  | { readonly ok: false; readonly problem: string }

/** Numbers below this are milliseconds from the start of the log; up to `EPOCH_MS_FROM` they are seconds since 1970. */
const EPOCH_S_FROM = 1e8
const EPOCH_MS_FROM = 1e11
const TOKENS_MAX = 2_000_000
const NAME_CHARS_MAX = 1024

const TIME_FIELDS = ['timestamp', 'created_at', 'created', 'time'] as const
const SESSION_FIELDS = ['session_id', 'session', 'conversation_id', 'prompt_cache_key'] as const

export function readLogLine(json: unknown): LogLine {
  if (!isObject(json)) return wrong('the line is no object')
  const body = objectOf(json['request']) ?? objectOf(json['body']) ?? json
  const api = Array.isArray(body['messages']) ? 'chat' : 'prompt' in body ? 'completions' : null
  if (api === null) return wrong("neither 'messages' nor 'prompt'")
  const outer = objectOf(json['response'])
  const response = objectOf(outer?.['body']) ?? outer ?? json
  const timestampMs = timeOf(json) ?? timeOf(body) ?? timeOf(response)
  if (timestampMs !== null && typeof timestampMs !== 'number') return wrong(timestampMs.problem)
  const usage = objectOf(response['usage']) ?? objectOf(json['usage'])
  const promptTokens = countOf(usage, 'prompt_tokens', 'input_tokens')
  const outputTokens = countOf(usage, 'completion_tokens', 'output_tokens')
  const details = objectOf(usage?.['prompt_tokens_details'])
  const cachedTokens = countOf(details, 'cached_tokens', 'cached_tokens')
  for (const [name, value] of Object.entries({ promptTokens, outputTokens, cachedTokens }))
    if (value === undefined) return wrong(`usage: ${name} is no number from 0 to ${TOKENS_MAX}`)
  return {
    ok: true,
    request: {
      api,
      model: textOf(body, ['model']) ?? textOf(json, ['model']) ?? '',
      body,
      timestampMs,
      session: textOf(json, SESSION_FIELDS) ?? textOf(body, SESSION_FIELDS),
      tenant: textOf(json, ['tenant', 'organization']) ?? '',
      usage: {
        promptTokens: promptTokens ?? null,
        cachedTokens: cachedTokens ?? null,
        outputTokens: outputTokens ?? null,
      },
      answer: answerOf(response),
    },
  }
}

/** Null: no field has a time. */
function timeOf(from: JsonObject): number | null | { readonly problem: string } {
  for (const field of TIME_FIELDS) {
    const value = from[field]
    if (value === undefined || value === null) continue
    const ms = typeof value === 'string' ? Date.parse(value) : value
    if (typeof ms !== 'number' || !Number.isFinite(ms) || ms < 0)
      return { problem: `${field} is neither a number nor a date` }
    return typeof value === 'number' && ms >= EPOCH_S_FROM && ms < EPOCH_MS_FROM ? ms * 1000 : ms
  }
  return null
}

/** Null: not there. Undefined: there, and no count. */
function countOf(from: JsonObject | null, chat: string, responses: string): number | null | undefined {
  const value = from?.[chat] ?? from?.[responses] ?? null
  if (value === null) return null
  return typeof value === 'number' && value >= 0 && value <= TOKENS_MAX ? Math.round(value) : undefined
}

function answerOf(response: JsonObject): JsonObject | string | null {
  const { choices } = response
  const [choice] = Array.isArray(choices) ? (choices as unknown[]) : []
  if (!isObject(choice)) return null
  const message = objectOf(choice['message'])
  if (message !== null) return typeof message['role'] === 'string' ? message : null
  return typeof choice['text'] === 'string' ? choice['text'] : null
}

function textOf(from: JsonObject, fields: readonly string[]): string | null {
  for (const field of fields) {
    const value = from[field]
    if (typeof value === 'string' && value !== '') return value.slice(0, NAME_CHARS_MAX)
    if (typeof value === 'number') return String(value)
  }
  return null
}

function wrong(problem: string): LogLine {
  return { ok: false, problem }
}

function objectOf(value: unknown): JsonObject | null {
  return isObject(value) ? value : null
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
