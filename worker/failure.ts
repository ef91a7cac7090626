/** The one place where faults become answers: error bodies in the caller's dialect with the status of the catalogue. */
import { errorBody, type Dialect } from '../protocol/dialect.ts'
import { RouteError } from '../protocol/errors.ts'
import { REQUEST_ID_HEADER } from '../protocol/receipt.ts'
import type { Arrival } from './caller.ts'
import { BindingError } from './env.ts'

/** Stack frames of a fault that go to the log. */
const FRAMES_MAX = 8

/** Our own faults are told apart in the log only; they may hold what a caller must not see. */
export function toRouteError(error: unknown): RouteError {
  if (error instanceof RouteError) return error
  logFault(error)
  return new RouteError('internal', 'The router failed on this request.')
}

export function failureResponse(
  error: RouteError,
  { requestId, headers }: Arrival,
  dialect: Dialect,
): Response {
  const { retryAfterMs } = error
  return Response.json(errorBody(dialect, error, requestId), {
    status: error.kind.status,
    headers: {
      ...headers,
      [REQUEST_ID_HEADER]: requestId,
      ...(dialect === 'anthropic' ? { 'request-id': requestId } : {}),
      ...(retryAfterMs === null
        ? {}
        : { 'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1000))) }),
      // OpenAI's clients retry a 429 unless they are told that it does not help.
      ...(error.code === 'insufficient_quota' ? { 'x-should-retry': 'false' } : {}),
      ...(error.kind.status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    },
  })
}

/** Where it happened, not what it says: a message may quote a prompt. */
function logFault(error: unknown): void {
  // oxlint-disable-next-line no-console -- the console is the platform's log.
  console.error(
    error instanceof BindingError ? `${error.name}: ${error.message}` : `fault: ${whereOf(error)}`,
  )
}

function whereOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return [error.name, ...frames.slice(0, FRAMES_MAX)].join('\n')
}
