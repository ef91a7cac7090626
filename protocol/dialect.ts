/**
 * How each API is told of faults and of waiting: bodies, in-band events, and what may be written into a stream before its
 * first event. The catalogue of faults is in errors.ts.
 */
import { openAiErrorBody, type ErrorCode, type RouteError } from './errors.ts'

/** `openai` is chat completions and all else in its form; `responses` streams typed events; `anthropic` is Messages. */
export type Dialect = 'openai' | 'responses' | 'anthropic'

/**
 * What keeps a silent stream alive. Comments are invisible to every client, but some reset their idle timers on data only;
 * the Messages API has an event for it, which its clients skip.
 */
export const HEARTBEATS: Readonly<Record<Dialect, string>> = {
  openai: ': waiting\n\n',
  responses: ': waiting\n\n',
  anthropic: 'event: ping\ndata: {"type":"ping"}\n\n',
}

/** https://docs.anthropic.com/en/api/errors */
const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  405: 'invalid_request_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
}

function anthropicType(code: ErrorCode, status: number): string {
  return code === 'overloaded' ? 'overloaded_error' : (ANTHROPIC_TYPES[status] ?? 'api_error')
}

/** The JSON body of a refusal. */
export function errorBody(dialect: Dialect, error: RouteError, requestId: string | null): object {
  if (dialect !== 'anthropic') return openAiErrorBody(error)
  const { code, message, kind } = error
  const id = requestId === null ? {} : { request_id: requestId }
  return { type: 'error', error: { type: anthropicType(code, kind.status), message }, ...id }
}

/**
 * A fault as events that end a stream. `body` is an error body in the dialect's form. The blank lines first end an event
 * that broke off half-way.
 */
export function errorEvent(dialect: Dialect, body: object): string {
  if (dialect === 'anthropic') return `\n\nevent: error\ndata: ${JSON.stringify(body)}\n\n`
  if (dialect === 'openai') return `\n\ndata: ${JSON.stringify(body)}\n\ndata: [DONE]\n\n`
  // The published event has the fields at its top; OpenAI's own clients throw on a nested `error` only.
  const { error } = body as { readonly error?: unknown }
  const fields = typeof error === 'object' && error !== null ? error : {}
  const event = { ...fields, type: 'error', sequence_number: 0, error: fields }
  return `\n\nevent: error\ndata: ${JSON.stringify(event)}\n\n`
}

/** Whether `body` is an error body in the dialect's own form, as an engine writes it. */
export function isErrorBody(dialect: Dialect, body: unknown): body is object {
  if (typeof body !== 'object' || body === null || !('error' in body)) return false
  return dialect !== 'anthropic' || ('type' in body && body.type === 'error')
}
