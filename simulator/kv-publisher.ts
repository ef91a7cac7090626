/**
 * The engine's KV event stream: a ZMQ PUB socket, and a ROUTER that replays what is still buffered. Sequence numbers
 * start at 0 with each life of the engine. Both sockets bind, as an engine's do inside its pod.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Publisher, Router } from 'zeromq'
import type { KvEvent } from './engine/kv-event.ts'
import type { EngineFaults } from './engine-options.ts'
import type { EngineVersion } from './wire/engine-version.ts'
import { encodeBatch } from './wire/kv-batch.ts'
import { replayEndFrames, replayFrames, replayStart, seqFrame } from './wire/kv-frames.ts'

/** Batches kept for replay, as many as vLLM keeps. */
export const BUFFER_STEPS = 10_000
/** Memory for them: vLLM has no such bound, a simulator has a dozen engines in one process. */
const BUFFER_BYTES_MAX = 64 << 20
const SEND_QUEUE_MAX = 100_000
/** A killed engine's sockets go away in the background: its successor tries the same port for this long. */
const BIND_MS_MAX = 1000
const BIND_RETRY_MS = 50
/** How often a batch that is held back asks whether it still is. */
const DELAY_POLL_MS = 10

export interface KvPublisherOptions {
  readonly host: string
  readonly eventsPort: number
  readonly replayPort: number
  readonly topic: string
  readonly version: EngineVersion
}

interface Batch {
  readonly seq: number
  readonly payload: Uint8Array
  readonly atMs: number
}

/** What goes wrong with events on purpose. */
export type EventFaults = Pick<EngineFaults, 'dropEvents' | 'delayEventsMs'>

export const NO_EVENT_FAULTS: EventFaults = { dropEvents: () => false, delayEventsMs: () => 0 }

export class KvPublisher {
  readonly eventsEndpoint: string
  readonly replayEndpoint: string
  private readonly options: KvPublisherOptions
  private readonly publisher: Publisher
  private readonly router: Router
  private readonly queue: Batch[] = []
  private buffer: Batch[] = []
  private bufferBytes = 0
  private seq = 0
  private isSending = false

  static async start(options: KvPublisherOptions): Promise<KvPublisher> {
    const publisher = new Publisher({ linger: 0, sendHighWaterMark: 100_000 })
    const router = new Router({ linger: 0 })
    try {
      await bind(publisher, options.host, options.eventsPort)
      await bind(router, options.host, options.replayPort)
    } catch (error) {
      publisher.close()
      router.close()
      throw error
    }
    const started = new KvPublisher(options, publisher, router)
    void started.serveReplay()
    return started
  }

  private constructor(options: KvPublisherOptions, publisher: Publisher, router: Router) {
    this.options = options
    this.publisher = publisher
    this.router = router
    this.eventsEndpoint = publisher.lastEndpoint ?? ''
    this.replayEndpoint = router.lastEndpoint ?? ''
  }

  /** Publishes one step's events as one batch. What is dropped is numbered and buffered, but not sent. */
  publish(events: readonly KvEvent[], faults: EventFaults): void {
    const payload = encodeBatch(events, Date.now() / 1000, this.options.version)
    const batch = { seq: this.seq++, payload, atMs: performance.now() }
    this.remember(batch)
    if (faults.dropEvents(batch.seq) || this.queue.length >= SEND_QUEUE_MAX) return
    this.queue.push(batch)
    if (!this.isSending) void this.drain(faults)
  }

  close(): void {
    this.queue.length = 0
    this.publisher.close()
    this.router.close()
  }

  private remember(batch: Batch): void {
    this.buffer.push(batch)
    this.bufferBytes += batch.payload.length
    let excess = 0
    while (this.buffer.length - excess > BUFFER_STEPS || this.bufferBytes > BUFFER_BYTES_MAX) {
      this.bufferBytes -= this.buffer[excess]?.payload.length ?? 0
      excess++
    }
    if (excess > 0) this.buffer = this.buffer.slice(excess)
  }

  /** A socket takes one message at a time. */
  private async drain(faults: EventFaults): Promise<void> {
    this.isSending = true
    try {
      for (let batch = this.queue.shift(); batch !== undefined; batch = this.queue.shift()) {
        while (performance.now() - batch.atMs < faults.delayEventsMs(batch.seq)) await sleep(DELAY_POLL_MS)
        await this.publisher.send([this.options.topic, seqFrame(batch.seq), batch.payload])
      }
    } catch {
      // The socket is closed: the engine is gone.
      this.queue.length = 0
    } finally {
      this.isSending = false
    }
  }

  private async serveReplay(): Promise<void> {
    const { version, topic } = this.options
    try {
      for await (const frames of this.router) {
        const [identity] = frames
        const start = replayStart(frames)
        if (identity === undefined || start === null) continue
        for (const { seq, payload } of this.buffer.filter((batch) => batch.seq >= start)) {
          await this.router.send([identity, ...replayFrames(version, topic, seq, payload)])
        }
        await this.router.send([identity, ...replayEndFrames(version)])
      }
    } catch {
      // The socket is closed: the engine is gone.
    }
  }
}

async function bind(socket: Publisher | Router, host: string, port: number): Promise<void> {
  const endMs = performance.now() + BIND_MS_MAX
  for (;;) {
    try {
      await socket.bind(`tcp://${host}:${port === 0 ? '*' : port}`)
      return
    } catch (error) {
      const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
      if (!isTaken || performance.now() >= endMs) {
        throw new Error(`cannot bind tcp://${host}:${port}: the port is in use`, { cause: error })
      }
      await sleep(BIND_RETRY_MS)
    }
  }
}
