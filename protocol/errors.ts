/**
 * The catalogue of faults that a caller can see. A house throws `RouteError` and one place in the house turns it
 * into the caller's protocol. Refusals and missing candidates are values until that place.
 */

/** Where another try of the same request may go. */
export type Retry = 'here' | 'elsewhere' | 'never'

export interface ErrorKind {
  readonly status: number
  /** The OpenAI `error.type`. */
  readonly type: string
  readonly retry: Retry
}

export const ERROR_KINDS = {
  invalid_request: { status: 400, type: 'invalid_request_error', retry: 'never' },
  invalid_json: { status: 400, type: 'invalid_request_error', retry: 'never' },
  missing_api_key: { status: 401, type: 'authentication_error', retry: 'never' },
  invalid_api_key: { status: 401, type: 'authentication_error', retry: 'never' },
  forbidden: { status: 403, type: 'permission_error', retry: 'never' },
  not_found: { status: 404, type: 'invalid_request_error', retry: 'never' },
  /** No response of that id that this caller may continue. */
  response_not_found: { status: 404, type: 'invalid_request_error', retry: 'never' },
  model_not_found: { status: 404, type: 'invalid_request_error', retry: 'never' },
  method_not_allowed: { status: 405, type: 'invalid_request_error', retry: 'never' },
  body_too_large: { status: 413, type: 'invalid_request_error', retry: 'never' },
  conflict: { status: 409, type: 'invalid_request_error', retry: 'never' },
  precondition_failed: { status: 412, type: 'invalid_request_error', retry: 'never' },
  precondition_required: { status: 428, type: 'invalid_request_error', retry: 'never' },
  /** The budget of the period is spent or promised. OpenAI's name, which its clients do not retry. */
  insufficient_quota: { status: 429, type: 'insufficient_quota', retry: 'never' },
  /** Nobody waits for the answer any more: in records only. */
  client_left: { status: 499, type: 'invalid_request_error', retry: 'never' },
  rate_limit_exceeded: { status: 429, type: 'rate_limit_error', retry: 'never' },
  overloaded: { status: 429, type: 'overloaded_error', retry: 'elsewhere' },
  internal: { status: 500, type: 'server_error', retry: 'elsewhere' },
  upstream_failed: { status: 502, type: 'server_error', retry: 'elsewhere' },
  no_cluster: { status: 503, type: 'server_error', retry: 'elsewhere' },
  /** Who may do what cannot be told at the moment, and the policy says to refuse then. */
  tenancy_unavailable: { status: 503, type: 'server_error', retry: 'never' },
  no_endpoint: { status: 503, type: 'server_error', retry: 'elsewhere' },
  /** The response is kept by a cluster that cannot be reached, or may not be used any more. */
  response_unreachable: { status: 503, type: 'server_error', retry: 'here' },
  deadline_exceeded: { status: 504, type: 'server_error', retry: 'never' },
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof ERROR_KINDS

/** A fault that the caller is told about. `message` is shown to the caller and never holds prompt text or secrets. */
export class RouteError extends Error {
  readonly code: ErrorCode
  /** The request field at fault, as in OpenAI's `error.param`. */
  readonly param: string | null
  /** For `rate_limit_exceeded` and `overloaded`: when a retry can succeed. */
  readonly retryAfterMs: number | null

  constructor(
    code: ErrorCode,
    message: string,
    detail: { param?: string; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.name = 'RouteError'
    this.code = code
    this.param = detail.param ?? null
    this.retryAfterMs = detail.retryAfterMs ?? null
  }

  get kind(): ErrorKind {
    return ERROR_KINDS[this.code]
  }
}

export interface OpenAiErrorBody {
  error: { message: string; type: string; param: string | null; code: string }
}

/** The body that OpenAI clients turn into their typed errors. */
export function openAiErrorBody(error: RouteError): OpenAiErrorBody {
  return {
    error: { message: error.message, type: error.kind.type, param: error.param, code: error.code },
  }
}
