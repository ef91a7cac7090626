/**
 * Request -> what may be done with it: body within its bound, JSON, a model that the policy allows, the routing that the
 * tenant may choose. Client headers are read here and go no further.
 */
import { ROUTING_HEADER, routingSchema, type Policy, type Routing } from '../protocol/edge-config.ts'
import { RouteError } from '../protocol/errors.ts'
import { BODY_BYTES_MAX, MODEL_CHARS_MAX } from '../protocol/ids.ts'
import type { ActiveTenant } from '../protocol/tenancy.ts'
import { mayUse } from './admin/check-policy.ts'
import { settledWithin, type SettledWithin } from './settled-within.ts'

/** How long a client may take to send its body. */
const BODY_MS_MAX = 60_000
/** The most answers to one request that a reservation counts. */
const ANSWERS_MAX = 128
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false })

/** What a request asks for, without its prompt: it lives as long as the request, and prompts fill an isolate's memory. */
export interface Admission {
  readonly tenant: string
  readonly shareScope: string
  readonly policy: Policy
  readonly routing: Routing
  readonly model: string
  readonly stream: boolean
  readonly outputTokensMax: number | null
  /** How many answers it asks for. */
  readonly answers: number
  /** The caller's own name for a conversation. */
  readonly promptCacheKey: string | null
  /** The cluster that keeps what this request continues; null when it continues nothing. */
  readonly pinnedCluster: string | null
}

/** The body within its bound, however long it claims to be; throws `body_too_large` or `invalid_request`. */
export async function readBody(
  request: Request,
  policy: Policy,
  settles: SettledWithin,
): Promise<Uint8Array> {
  return readBytes(request, Math.min(policy.promptBytesMax ?? BODY_BYTES_MAX, BODY_BYTES_MAX), settles)
}

export async function readBytes(
  request: Request,
  bytesMax: number,
  settles: SettledWithin = settledWithin,
): Promise<Uint8Array> {
  const length = request.headers.get('content-length')
  if (Number(length) > bytesMax) throw tooLarge(bytesMax)
  if (!request.body) return new Uint8Array()
  // HTTP holds a body to its announced length, so it is collected natively: JavaScript on each chunk costs more.
  const isBounded = length !== null && Number(length) >= 0
  const reader = isBounded ? null : request.body.getReader()
  const reading = reader ? collect(reader, bytesMax) : whole(request, bytesMax)
  if (!(await settles(reading, BODY_MS_MAX))) {
    reader?.cancel().catch(() => undefined)
    throw new RouteError('invalid_request', `the request body did not arrive within ${BODY_MS_MAX / 1000} s`)
  }
  return reading
}

async function whole(request: Request, bytesMax: number): Promise<Uint8Array> {
  let body: Uint8Array
  try {
    body = new Uint8Array(await request.arrayBuffer())
  } catch (cause) {
    throw new RouteError('invalid_request', 'the request body broke off', { cause })
  }
  if (body.byteLength > bytesMax) throw tooLarge(bytesMax)
  return body
}

async function collect(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  bytesMax: number,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read().catch((cause: unknown) => {
      throw new RouteError('invalid_request', 'the request body broke off', { cause })
    })
    if (done) break
    bytes += value.byteLength
    if (bytes > bytesMax) {
      reader.cancel().catch(() => undefined)
      throw tooLarge(bytesMax)
    }
    chunks.push(value)
  }
  const [first] = chunks
  if (first && chunks.length === 1) return first
  const body = new Uint8Array(bytes)
  let at = 0
  for (const chunk of chunks) {
    body.set(chunk, at)
    at += chunk.byteLength
  }
  return body
}

function tooLarge(bytesMax: number): RouteError {
  return new RouteError('body_too_large', `the request body is larger than ${bytesMax} bytes`)
}

/** Throws `invalid_json` when `body` is no JSON object. */
export function parseBody(body: Uint8Array): Readonly<Record<string, unknown>> {
  let json: unknown
  try {
    json = JSON.parse(UTF8.decode(body))
  } catch {
    throw new RouteError('invalid_json', 'We could not parse the JSON body of your request.')
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new RouteError('invalid_json', 'The body of your request must be a JSON object.')
  }
  return json as Readonly<Record<string, unknown>>
}

/** Throws `invalid_request` for fields that the edge reads and cannot use, `model_not_found` for a forbidden model. */
export function admit(
  { tenant, policy }: ActiveTenant,
  json: Readonly<Record<string, unknown>>,
  headers: Headers,
): Admission {
  const { model, stream, prompt_cache_key: promptCacheKey } = json
  if (typeof model !== 'string' || model === '' || model.length > MODEL_CHARS_MAX)
    throw invalid('model', `'model' must be a string of 1 to ${MODEL_CHARS_MAX} characters.`)
  if (stream !== undefined && stream !== null && typeof stream !== 'boolean') {
    throw invalid('stream', "'stream' must be a boolean.")
  }
  const { aliases } = policy
  // A model may be called like a property that every object has.
  const target = (Object.hasOwn(aliases, model) ? aliases[model] : undefined) ?? model
  if (!mayUse(policy, target)) throw modelNotFound(model)
  const named = policy.routingOverride ? routingSchema.safeParse(headers.get(ROUTING_HEADER)).data : undefined
  return {
    tenant,
    shareScope: policy.shareScope ?? `tenant:${tenant}`,
    policy,
    routing: named ?? 'isotherm',
    model: target,
    stream: stream === true,
    outputTokensMax:
      positiveInteger(json['max_completion_tokens']) ??
      positiveInteger(json['max_output_tokens']) ??
      positiveInteger(json['max_tokens']),
    answers: answersOf(json),
    promptCacheKey: typeof promptCacheKey === 'string' ? promptCacheKey : null,
    pinnedCluster: null,
  }
}

/** The answer for a model that does not exist, or not for this tenant. */
export function modelNotFound(model: string): RouteError {
  const message = `The model '${model}' does not exist or you do not have access to it.`
  return new RouteError('model_not_found', message, { param: 'model' })
}

function invalid(param: string, message: string): RouteError {
  return new RouteError('invalid_request', message, { param })
}

function answersOf(json: Readonly<Record<string, unknown>>): number {
  const asked = [json['n'], json['best_of']].map((value) => (Number.isSafeInteger(value) ? Number(value) : 1))
  return Math.min(ANSWERS_MAX, Math.max(1, ...asked))
}

function positiveInteger(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : null
}
