/**
 * Answers that are opened before their cluster has spoken. A stream gets heartbeats, and from then on errors travel in-band.
 * JSON gets spaces, which may stand before any JSON; its status has gone out as 200, so a failure breaks the connection off
 * after saying why: no client takes that for an answer. Each write is also how a lost client is noticed.
 */
import { errorBody, errorEvent, HEARTBEATS, isErrorBody } from '../protocol/dialect.ts'
import { RouteError } from '../protocol/errors.ts'
import { formatReceipt, ROUTE_HEADER } from '../protocol/receipt.ts'
import { isEventStream } from './attempt.ts'
import type { Delivery } from './dispatch.ts'
import { toRouteError } from './failure.ts'
import type { Relay } from './relay.ts'
import { finish, pipeStream } from './stream-pipe.ts'

const HEARTBEAT_MS = 250
/** Between heartbeats that are events come comments: clients count events, the platform counts writes. */
const EVENT_EVERY = 20
const COMMENT = encode(': waiting\n\n')
const SPACE = encode(' ')
/** The longest error body that becomes an in-band event. */
const ERROR_BYTES_MAX = 16_384

/** Heartbeats until the answer comes, then the answer. Never rejects. */
export async function feedEarlyStream(
  relay: Relay,
  delivering: Promise<Delivery>,
  writable: WritableStream<Uint8Array>,
): Promise<void> {
  const { dialect, requestId } = relay
  const writer = writable.getWriter()
  const event = encode(HEARTBEATS[dialect])
  if (!(await keepAlive(relay, delivering, writer, (beat) => (beat % EVENT_EVERY === 0 ? event : COMMENT))))
    return
  try {
    const delivery = await delivering
    const { response, receipt } = delivery
    if (!isEventStream(response) || response.body === null) {
      await finish(writer, await errorEventOf(relay, delivery))
      return
    }
    // The headers promised the plan's first cluster; another one answers.
    if (receipt.attempt > 1) await writer.write(encode(`: ${ROUTE_HEADER} ${formatReceipt(receipt)}\n\n`))
    writer.releaseLock()
    await pipeStream(relay, delivery, writable)
  } catch (error) {
    await finish(writer, errorEvent(dialect, errorBody(dialect, toRouteError(error), requestId)))
  }
}

/** Spaces until the answer comes, then the answer. Never rejects. */
export async function feedEarlyWhole(
  relay: Relay,
  delivering: Promise<Delivery>,
  writable: WritableStream<Uint8Array>,
): Promise<void> {
  const writer = writable.getWriter()
  if (!(await keepAlive(relay, delivering, writer, () => SPACE))) return
  try {
    const { response, head } = await delivering
    if (!response.ok) {
      await breakOff(writer, head ?? encode(await readBounded(response)))
      return
    }
    if (head) await writer.write(head)
    if (head || !response.body) {
      await writer.close()
      return
    }
    writer.releaseLock()
    // Aborts the answer when its source breaks, so that it does not look whole.
    await response.body.pipeTo(writable)
  } catch (error) {
    const body = errorBody(relay.dialect, toRouteError(error), relay.requestId)
    await breakOff(writer, encode(JSON.stringify(body)))
  }
}

/** Writes until `delivering` settles. false: the client has left, and the calls for it are aborted. */
async function keepAlive(
  relay: Relay,
  delivering: Promise<Delivery>,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  chunkOf: (beat: number) => Uint8Array,
): Promise<boolean> {
  try {
    let beat = 0
    do await writer.write(chunkOf(beat++))
    while (!(await relay.settles(delivering, HEARTBEAT_MS)))
    return true
  } catch {
    relay.counters.count('clientsLost')
    relay.clientLoss.say(new RouteError('client_left', 'The client left before its answer.'))
    await drop(delivering)
    return false
  }
}

async function drop(delivering: Promise<Delivery>): Promise<void> {
  try {
    const { response, cancel } = await delivering
    cancel()
    await response.body?.cancel()
  } catch {
    // The calls were aborted, which is what was asked.
  }
}

async function breakOff(writer: WritableStreamDefaultWriter<Uint8Array>, why: Uint8Array): Promise<void> {
  try {
    await writer.write(why)
    await writer.abort(new Error('the answer failed'))
  } catch {
    // Nobody reads any more.
  }
}

/** An answer other than a stream, after the stream has been opened: its error as an event. */
async function errorEventOf({ dialect, requestId }: Relay, { response, head }: Delivery): Promise<string> {
  const text = head
    ? new TextDecoder().decode(head.subarray(0, ERROR_BYTES_MAX))
    : await readBounded(response)
  try {
    const body: unknown = JSON.parse(text)
    if (isErrorBody(dialect, body)) return errorEvent(dialect, body)
  } catch {
    // No JSON: the cluster speaks another protocol.
  }
  const message = `The cluster answered with status ${response.status}.`
  return errorEvent(dialect, errorBody(dialect, new RouteError('upstream_failed', message), requestId))
}

async function readBounded(response: Response): Promise<string> {
  if (!response.body) return ''
  const decoder = new TextDecoder()
  const reader = response.body.getReader() as ReadableStreamDefaultReader<Uint8Array>
  let text = ''
  while (text.length < ERROR_BYTES_MAX) {
    const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }))
    if (done || value === undefined) return text
    text += decoder.decode(value, { stream: true })
  }
  reader.cancel().catch(() => undefined)
  return ''
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
