/**
 * Answer -> client. Chunks are piped natively: any JavaScript on each of them doubles a stream's cost. A stream's status is
 * the true one when headers come within the grace; after it the edge opens the stream itself and writes comments until they
 * come, because workerd notices a lost client only on a write and GPUs must not prefill for nobody. The agent withholds its
 * headers until the first byte, so the comments cover all of prefill. From then on errors travel in-band.
 */
import { openAiErrorBody, RouteError } from '../protocol/errors.ts'
import { formatReceipt, REQUEST_ID_HEADER, ROUTE_HEADER, type Receipt } from '../protocol/receipt.ts'
import type { Delivery } from './dispatch.ts'
import type { Counters } from './memory/counters.ts'
import { toRouteError } from './failure.ts'
import { settledWithin } from './settled-within.ts'

/** How long a stream's headers are waited for before the edge opens the stream itself. */
const GRACE_MS = 250
const HEARTBEAT_MS = 250
const HEARTBEAT = new TextEncoder().encode(': waiting\n\n')
/** The longest error body that becomes an in-band event. */
const ERROR_CHARS_MAX = 16_384
/** Headers of an agent's answer that mean something to the client. */
const PASSED_HEADERS = ['content-type', 'content-length', 'retry-after'] as const
const SSE = 'text/event-stream'

export interface Relay {
  readonly requestId: string
  /** More headers of the answer. */
  readonly headers: Readonly<Record<string, string>>
  /** What is expected of the answer, for a stream that is opened before it comes. */
  readonly expected: Receipt | null
  readonly counters: Counters
  /** Aborts the calls to clusters. */
  readonly clientLost: AbortController
  readonly waitUntil: (work: Promise<void>) => void
}

/** An answer that comes whole. */
export async function relayWhole(relay: Relay, delivering: Promise<Delivery>): Promise<Response> {
  return passOn(relay, await delivering)
}

/** An answer that comes as events. Throws `RouteError` for faults within the grace. */
export async function relayStream(relay: Relay, delivering: Promise<Delivery>): Promise<Response> {
  if (await settledWithin(delivering, GRACE_MS)) return passOn(relay, await delivering)
  const { readable, writable } = new IdentityTransformStream()
  relay.waitUntil(feedEarlyStream(relay, delivering, writable))
  const headers = answerHeaders(relay, relay.expected)
  headers.set('content-type', `${SSE}; charset=utf-8`)
  headers.set('cache-control', 'no-cache')
  return new Response(readable, { headers })
}

function passOn(relay: Relay, { response, receipt }: Delivery): Response {
  const headers = answerHeaders(relay, receipt)
  for (const name of PASSED_HEADERS) {
    const value = response.headers.get(name)
    if (value !== null) headers.set(name, value)
  }
  const { status, body } = response
  if (!isEventStream(response) || body === null) return new Response(body, { status, headers })
  headers.delete('content-length')
  headers.set('cache-control', 'no-cache')
  const { readable, writable } = new IdentityTransformStream()
  relay.waitUntil(feed(relay, body, writable))
  return new Response(readable, { status, headers })
}

/** Comments until the answer comes, then the answer. Never rejects. */
async function feedEarlyStream(
  relay: Relay,
  delivering: Promise<Delivery>,
  writable: WritableStream<Uint8Array>,
): Promise<void> {
  const writer = writable.getWriter()
  try {
    do await writer.write(HEARTBEAT)
    while (!(await settledWithin(delivering, HEARTBEAT_MS)))
  } catch {
    relay.counters.count('clientsLost')
    relay.clientLost.abort()
    await settle(delivering)
    return
  }
  try {
    const { response, receipt } = await delivering
    if (!isEventStream(response) || response.body === null) {
      await finish(writer, await errorEvent(response))
      return
    }
    // The headers promised the plan's first cluster; another one answers.
    if (receipt.attempt > 1) {
      await writer.write(new TextEncoder().encode(`: ${ROUTE_HEADER} ${formatReceipt(receipt)}\n\n`))
    }
    writer.releaseLock()
    await feed(relay, response.body, writable)
  } catch (error) {
    await finish(writer, eventOf(openAiErrorBody(toRouteError(error))))
  }
}

/** Pipes a stream to its end; one that breaks ends with an error event. Never rejects. */
async function feed(
  relay: Relay,
  body: ReadableStream<Uint8Array>,
  writable: WritableStream<Uint8Array>,
): Promise<void> {
  let isBroken = false
  try {
    await body.pipeTo(writable, { preventAbort: true, preventClose: true })
  } catch {
    isBroken = true
    relay.counters.count('streamsBroken')
  }
  const broken = new RouteError('upstream_failed', 'The cluster that was answering broke off.')
  // After a lost client this fails, and the pipe has cancelled the answer at its source.
  await finish(writable.getWriter(), isBroken ? eventOf(openAiErrorBody(broken)) : '')
}

async function finish(writer: WritableStreamDefaultWriter<Uint8Array>, tail: string): Promise<void> {
  try {
    if (tail !== '') await writer.write(new TextEncoder().encode(tail))
    await writer.close()
  } catch {
    // Nobody reads any more.
  }
}

async function settle(delivering: Promise<Delivery>): Promise<void> {
  try {
    await (await delivering).response.body?.cancel()
  } catch {
    // The calls were aborted, which is what was asked.
  }
}

/** An answer other than a stream, after the stream has been opened: its error as an event. */
async function errorEvent(response: Response): Promise<string> {
  const text = await readBounded(response)
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body === 'object' && body !== null && 'error' in body) return eventOf(body)
  } catch {
    // No JSON: the cluster speaks another protocol.
  }
  const message = `The cluster answered with status ${response.status}.`
  return eventOf(openAiErrorBody(new RouteError('upstream_failed', message)))
}

async function readBounded(response: Response): Promise<string> {
  if (!response.body) return ''
  const decoder = new TextDecoder()
  const reader = response.body.getReader()
  let text = ''
  while (text.length < ERROR_CHARS_MAX) {
    const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }))
    if (done || value === undefined) return text
    text += decoder.decode(value, { stream: true })
  }
  reader.cancel().catch(() => undefined)
  return ''
}

/** The blank lines first end an event that broke off half-way. */
function eventOf(body: object): string {
  return `\n\ndata: ${JSON.stringify(body)}\n\ndata: [DONE]\n\n`
}

function isEventStream(response: Response): boolean {
  return response.ok && (response.headers.get('content-type') ?? '').startsWith(SSE)
}

function answerHeaders({ requestId, headers }: Relay, receipt: Receipt | null): Headers {
  const answer = new Headers({ ...headers, [REQUEST_ID_HEADER]: requestId })
  if (receipt !== null) answer.set(ROUTE_HEADER, formatReceipt(receipt))
  return answer
}
