/** Asking one engine for the events that it still has. A DEALER: a REQ would take one reply and drop the rest. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Dealer } from 'zeromq'
import { PAYLOAD_BYTES_MAX } from './events/decode-batch.ts'
import { parseReplayFrames, replayRequest, type EventMessage } from './events/frames.ts'
import { TimeSlice } from './time-slice.ts'

/** Nothing heard for this long ends a try. */
const IDLE_MS = 2000
const TRIES_MAX = 3
const RETRY_MS = 100
const MESSAGES_MAX = 1_000_000
const TOTAL_MS_MAX = 120_000
/** Replays at one time in this process: an engine answers out of the thread that publishes. */
const REPLAYS_MAX = 8

let turnsLeft = REPLAYS_MAX
const waiting: (() => void)[] = []

export interface ReplayOptions {
  readonly address: string
  readonly fromSeq: number
  readonly signal: AbortSignal
  readonly onMessage: (message: EventMessage) => void
  readonly onMalformed: () => void
}

/** True when the engine said that this was all. A try that breaks off goes on behind the last message. */
export async function replayEvents(options: ReplayOptions): Promise<boolean> {
  await takeTurn()
  try {
    const endMs = performance.now() + TOTAL_MS_MAX
    let fromSeq = options.fromSeq
    for (let tries = 0; tries < TRIES_MAX && !options.signal.aborted && performance.now() < endMs; tries++) {
      const before = fromSeq
      const isWhole = await replayOnce(options, fromSeq, (message) => {
        fromSeq = Math.max(fromSeq, message.seq + 1)
        options.onMessage(message)
      })
      if (isWhole) return true
      if (fromSeq > before) tries = -1
      else await sleep(RETRY_MS, undefined, { signal: options.signal }).catch(() => undefined)
    }
    return false
  } finally {
    // The next in line takes over the turn.
    const next = waiting.shift()
    if (next) next()
    else turnsLeft++
  }
}

async function takeTurn(): Promise<void> {
  if (turnsLeft > 0) turnsLeft--
  else await new Promise<void>((resolve) => waiting.push(resolve))
}

async function replayOnce(
  { address, signal, onMalformed }: ReplayOptions,
  fromSeq: number,
  onMessage: (message: EventMessage) => void,
): Promise<boolean> {
  const dealer = new Dealer({
    receiveTimeout: IDLE_MS,
    sendTimeout: IDLE_MS,
    linger: 0,
    maxMessageSize: PAYLOAD_BYTES_MAX,
  })
  const close = () => dealer.close()
  signal.addEventListener('abort', close, { once: true })
  const slice = new TimeSlice()
  try {
    dealer.connect(address)
    await dealer.send(replayRequest(fromSeq).map((frame) => Buffer.from(frame)))
    for (let messages = 0; messages < MESSAGES_MAX && !signal.aborted; messages++) {
      const reply = parseReplayFrames(await dealer.receive())
      if (reply?.kind === 'end') return true
      if (reply) onMessage(reply.message)
      else onMalformed()
      await slice.yieldIfDue()
    }
    return false
  } catch {
    // Silence: the engine is gone, or its replies overran our queue.
    return false
  } finally {
    signal.removeEventListener('abort', close)
    if (!dealer.closed) dealer.close()
  }
}
