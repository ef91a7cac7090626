/** Request -> who asks and under which id, with what its answer carries whatever becomes of it. */
import { requestIdSchema } from '../protocol/ids.ts'
import { REQUEST_ID_HEADER } from '../protocol/receipt.ts'
import { authenticate } from './authenticate.ts'
import { readEdge, type EdgeBindings } from './env.ts'
import { edgeRegionOf, type RouteContext } from './route.ts'
import { oneTimer } from './settled-within.ts'

const GIVEN_ID_CHARS_MAX = 100

/** What the platform gives beside a request. */
export interface Execution {
  waitUntil(promise: Promise<unknown>): void
}

/** What is known of a request before anybody has looked at it. */
export interface Arrival {
  readonly requestId: string
  /** Headers that the answer carries, whatever it is. */
  readonly headers: Record<string, string>
}

export function arrivalOf(request: Request): Arrival {
  return { requestId: uniqueId(request.headers.get(REQUEST_ID_HEADER)), headers: {} }
}

/** Throws what `authenticate` throws. */
export async function routeContext(
  arrival: Arrival,
  request: Request,
  bindings: EdgeBindings,
  execution: Execution,
): Promise<RouteContext> {
  const edge = readEdge(bindings)
  const waitUntil = (work: Promise<void>) => execution.waitUntil(work)
  const region = edgeRegionOf(edge, request)
  return {
    edge,
    requestId: arrival.requestId,
    tenant: await authenticate(edge, credentialOf(request.headers), region, waitUntil),
    waitUntil,
    settles: oneTimer(),
    headers: arrival.headers,
  }
}

/** A caller's own id stays readable and becomes unique: requests are settled by it, and one id must not pay for two. */
function uniqueId(given: string | null): string {
  const id = crypto.randomUUID()
  if (given === null || !requestIdSchema.safeParse(given).success) return id
  return `${given.slice(0, GIVEN_ID_CHARS_MAX)}-${id.slice(-12)}`
}

/** The `authorization` header, or what Anthropic's clients send instead of it. */
function credentialOf(headers: Headers): string | null {
  const authorization = headers.get('authorization')
  if (authorization !== null) return authorization
  const key = headers.get('x-api-key')
  return key === null ? null : `Bearer ${key}`
}
