/**
 * A stream from its first bytes to its end. Chunks are piped natively: any JavaScript on each of them doubles a stream's
 * cost. So silence is not seen here; beside a long stream its cluster is asked whether it is still there, and the agent
 * watches the engine. A stream that breaks or falls silent ends with an error event in the client's dialect.
 */
import { errorBody, errorEvent } from '../protocol/dialect.ts'
import { RouteError } from '../protocol/errors.ts'
import type { Delivery } from './dispatch.ts'
import type { Relay } from './relay.ts'

type End = 'whole' | 'broken' | 'stalled'

const MESSAGES: Readonly<Record<Exclude<End, 'whole'>, string>> = {
  broken: 'The cluster that was answering broke off.',
  stalled: 'The cluster that was answering cannot be reached any more.',
}

/** Never rejects. */
export async function pipeStream(
  relay: Relay,
  delivery: Delivery,
  writable: WritableStream<Uint8Array>,
): Promise<void> {
  const { head } = delivery
  const { body } = delivery.response
  if (head) {
    const writer = writable.getWriter()
    try {
      await writer.write(head)
    } catch {
      relay.counters.count('clientsLost')
      delivery.cancel()
      return
    }
    writer.releaseLock()
  }
  const end = body ? await pipe(relay, delivery, body, writable) : 'whole'
  if (end !== 'whole') relay.counters.count(end === 'broken' ? 'streamsBroken' : 'streamsStalled')
  // After a lost client this fails, and the pipe has cancelled the answer at its source.
  await finish(writable.getWriter(), end === 'whole' ? '' : brokenEvent(relay, MESSAGES[end]))
}

async function pipe(
  relay: Relay,
  delivery: Delivery,
  body: ReadableStream<Uint8Array>,
  writable: WritableStream<Uint8Array>,
): Promise<End> {
  let isStalled = false
  const piping = body.pipeTo(writable, { preventAbort: true, preventClose: true })
  while (!isStalled && !(await relay.settles(piping, relay.idleProbeMs))) {
    isStalled = !(await relay.isReachable(delivery))
  }
  if (isStalled) delivery.cancel()
  try {
    await piping
    return 'whole'
  } catch {
    return isStalled ? 'stalled' : 'broken'
  }
}

function brokenEvent({ dialect, requestId }: Relay, message: string): string {
  return errorEvent(dialect, errorBody(dialect, new RouteError('upstream_failed', message), requestId))
}

/** Writes what is left to say and ends the stream. Never rejects. */
export async function finish(writer: WritableStreamDefaultWriter<Uint8Array>, tail: string): Promise<void> {
  try {
    if (tail !== '') await writer.write(new TextEncoder().encode(tail))
    await writer.close()
  } catch {
    // Nobody reads any more.
  }
}
