/** vLLM's error answers. Schema errors are told in pydantic's words, which the two dialects format differently. */
import { isCurrent, type EngineVersion } from './engine-version.ts'

/** An answer other than 200. */
export interface ErrorAnswer {
  readonly status: number
  readonly body: unknown
}

export interface Issue {
  readonly type: string
  readonly path: readonly (string | number)[]
  readonly message: string
  readonly input: unknown
  readonly context?: string
}

export function errorAnswer(
  status: number,
  type: string,
  message: string,
  param: string | null = null,
): ErrorAnswer {
  return { status, body: { error: { message, type, param, code: status } } }
}

export function badRequest(message: string, param: string | null = null): ErrorAnswer {
  return errorAnswer(400, 'BadRequestError', message, param)
}

/** `value` is printed when there is one, as in vLLM's own messages. */
export function badParameter(message: string, param: string, value?: string): ErrorAnswer {
  const suffix = value === undefined ? `(parameter=${param})` : `(parameter=${param}, value=${value})`
  return badRequest(`${message} ${suffix}`, param)
}

export function unknownModel(asked: string, served: string, version: EngineVersion): ErrorAnswer {
  const aliases = isCurrent(version) ? ` Valid aliases: ${served}.` : ''
  return errorAnswer(404, 'NotFoundError', `The model \`${asked}\` does not exist.${aliases}`, 'model')
}

export function unknownResponse(id: string): ErrorAnswer {
  return errorAnswer(404, 'invalid_request_error', `Response with id '${id}' not found.`, 'response_id')
}

export function engineBusy(): ErrorAnswer {
  const message =
    'The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.'
  return errorAnswer(503, 'Service Unavailable', message)
}

export function internalError(): ErrorAnswer {
  return errorAnswer(500, 'InternalServerError', 'Internal server error')
}

/** The Messages API has a form of its own for errors that have a type. */
export function inVoice(voice: string, answer: ErrorAnswer): ErrorAnswer {
  const { error } = answer.body as { readonly error?: { readonly type: string; readonly message: string } }
  if (voice !== 'messages' || error === undefined) return answer
  return { ...answer, body: { type: 'error', error: { type: error.type, message: error.message } } }
}

/** FastAPI's own answers have no `error` object. */
export function plainDetail(status: number, detail: string): ErrorAnswer {
  return { status, body: { detail } }
}

export function unsupportedMediaType(version: EngineVersion): ErrorAnswer {
  const reason = "Unsupported Media Type: Only 'application/json' is allowed"
  const message = isCurrent(version) ? reason : `${reason} ["${reason}"]`
  return errorAnswer(400, 'Bad Request', `1 validation error:\n  ${message}`)
}

export function invalidJson(text: string, cause: unknown, version: EngineVersion): ErrorAnswer {
  const words = cause instanceof Error ? cause.message : ''
  const position = /position (\d+)/.exec(words)?.[1]
  const expected = words.includes('property name')
    ? 'Expecting property name enclosed in double quotes'
    : 'Expecting value'
  const path = ['body', position === undefined ? text.length : Number(position)]
  const issue = { type: 'json_invalid', path, message: 'JSON decode error', input: {}, context: expected }
  return schemaError([issue], '', version)
}

/** Up to ten issues, as vLLM truncates them. `route` shows in the trace that 0.23 leaks. */
export function schemaError(
  issues: readonly Issue[],
  route: string,
  version: EngineVersion,
  legacyParam: string | null = null,
): ErrorAnswer {
  const shown = issues.slice(0, 10)
  const texts = shown.map((issue) => (isCurrent(version) ? currentIssue(issue) : legacyIssue(issue)))
  const head = `${issues.length} validation error${issues.length === 1 ? '' : 's'}:\n  ${texts.join('\n  ')}`
  if (!isCurrent(version)) {
    const trace = `\n\n  File "/venv/site-packages/vllm/entrypoints/serve/utils/api_utils.py"\n    POST ${route} [${texts.join(', ')}]`
    return errorAnswer(400, 'Bad Request', head + trace, legacyParam)
  }
  return errorAnswer(400, 'Bad Request', head, shown[0]?.path.join('.') ?? null)
}

function currentIssue({ type, path, message, input, context }: Issue): string {
  const loc = pythonText(path.join('.'))
  const shape = isPlain(input) ? pythonValue(input) : pythonText(sizeOf(input))
  const tail = context === undefined ? '' : `, 'ctx': {'error': ${pythonText(context)}}`
  return `{'type': '${type}', 'loc': ${loc}, 'msg': ${pythonText(message)}, 'input': ${shape}${tail}}`
}

function legacyIssue({ type, path, message, input, context }: Issue): string {
  const loc = `(${path.map(pythonValue).join(', ')}${path.length === 1 ? ',' : ''})`
  const tail = context === undefined ? '' : `, 'ctx': {'error': ${pythonText(context)}}`
  return `{'type': '${type}', 'loc': ${loc}, 'msg': ${pythonText(message)}, 'input': ${pythonValue(input)}${tail}}`
}

function sizeOf(value: unknown): string {
  if (Array.isArray(value)) return `<list of ${value.length} items>`
  return `<dict of ${Object.keys(value ?? {}).length} items>`
}

function isPlain(value: unknown): boolean {
  return typeof value !== 'object' || value === null
}

/** Nested values print as Python would, cut at a length that no error needs. */
function pythonValue(value: unknown): string {
  if (value === null || value === undefined) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'string') return pythonText(value.slice(0, 200))
  if (Array.isArray(value)) return `[${value.slice(0, 10).map(pythonValue).join(', ')}]`
  if (typeof value === 'object') {
    const entries = Object.entries(value).slice(0, 10)
    return `{${entries.map(([key, item]) => `${pythonText(key)}: ${pythonValue(item)}`).join(', ')}}`
  }
  return typeof value === 'number' || typeof value === 'bigint' ? String(value) : typeof value
}

function pythonText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote
}
