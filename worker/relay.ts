/**
 * Answer -> client, with its true status when it comes within the grace. After it the edge opens the answer itself and
 * keeps it alive until its cluster speaks (early-answer.ts), because workerd notices a lost client only on a write and GPUs
 * must not work for nobody.
 */
import type { Dialect } from '../protocol/dialect.ts'
import { formatReceipt, REQUEST_ID_HEADER, ROUTE_HEADER, type Receipt } from '../protocol/receipt.ts'
import { isEventStream } from './attempt.ts'
import type { ClientLoss } from './client-loss.ts'
import type { Delivery } from './dispatch.ts'
import { feedEarlyStream, feedEarlyWhole } from './early-answer.ts'
import type { Counters } from './memory/counters.ts'
import type { SettledWithin } from './settled-within.ts'
import { pipeStream } from './stream-pipe.ts'

/** How long a stream's first bytes are waited for before the edge opens the stream itself. */
const GRACE_MS = 250
/** Headers of an agent's answer that mean something to the client. */
const STREAM_HEADERS = ['content-type', 'retry-after'] as const
const WHOLE_HEADERS = [...STREAM_HEADERS, 'content-length'] as const

export interface Relay {
  readonly requestId: string
  readonly dialect: Dialect
  /** More headers of the answer. */
  readonly headers: Readonly<Record<string, string>>
  /** What is expected of the answer, for one that is opened before it comes. */
  readonly expected: Receipt | null
  readonly counters: Counters
  readonly settles: SettledWithin
  /** Aborts the calls to clusters. */
  readonly clientLoss: ClientLoss
  readonly waitUntil: (work: Promise<void>) => void
  /** How long an answer that comes whole is waited for. */
  readonly wholeGraceMs: number
  readonly idleProbeMs: number
  /** Whether the path to the cluster that is answering works. */
  readonly isReachable: (delivery: Delivery) => Promise<boolean>
}

/** An answer that comes whole. Throws `RouteError` for faults within the grace. */
export async function relayWhole(relay: Relay, delivering: Promise<Delivery>): Promise<Response> {
  if (await relay.settles(delivering, relay.wholeGraceMs)) return passOn(relay, await delivering)
  const { readable, writable } = new IdentityTransformStream()
  relay.waitUntil(feedEarlyWhole(relay, delivering, writable))
  const headers = answerHeaders(relay, relay.expected)
  headers['content-type'] = 'application/json'
  return new Response(readable, { headers })
}

/** An answer that comes as events. Throws `RouteError` for faults within the grace. */
export async function relayStream(relay: Relay, delivering: Promise<Delivery>): Promise<Response> {
  if (await relay.settles(delivering, GRACE_MS)) return passOn(relay, await delivering)
  const { readable, writable } = new IdentityTransformStream()
  relay.waitUntil(feedEarlyStream(relay, delivering, writable))
  const headers = answerHeaders(relay, relay.expected)
  headers['content-type'] = 'text/event-stream; charset=utf-8'
  headers['cache-control'] = 'no-cache'
  return new Response(readable, { headers })
}

function passOn(relay: Relay, delivery: Delivery): Response {
  const { response, head, receipt } = delivery
  const { status, body } = response
  const headers = answerHeaders(relay, receipt)
  const isStream = isEventStream(response)
  for (const name of isStream ? STREAM_HEADERS : WHOLE_HEADERS) {
    const value = response.headers.get(name)
    if (value !== null) headers[name] = value
  }
  if (!isStream) return new Response(head ?? body, { status, headers })
  headers['cache-control'] = 'no-cache'
  const { readable, writable } = new IdentityTransformStream()
  relay.waitUntil(pipeStream(relay, delivery, writable))
  return new Response(readable, { status, headers })
}

function answerHeaders(
  { requestId, dialect, headers }: Relay,
  receipt: Receipt | null,
): Record<string, string> {
  return {
    ...headers,
    [REQUEST_ID_HEADER]: requestId,
    ...(dialect === 'anthropic' ? { 'request-id': requestId } : {}),
    ...(receipt === null ? {} : { [ROUTE_HEADER]: formatReceipt(receipt) }),
  }
}
