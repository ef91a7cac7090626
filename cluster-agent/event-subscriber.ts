/**
 * One engine's KV events: subscribe first, then replay what came before, so that nothing falls between. A gap is
 * replayed from its first missing number; when the engine no longer has it, the endpoint's residency is forgotten and
 * what is there counts as positive knowledge. A connection that was lost may come back to another process: it is fenced.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { Dealer, Subscriber } from 'zeromq'
import { decodeBatch } from './events/decode-batch.ts'
import { judgeEvent } from './events/event-cursor.ts'
import { parseLiveFrames, parseReplayFrames, replayRequest, type EventMessage } from './events/frames.ts'
import type { KvEvent } from './events/kv-event.ts'

export interface SubscriberOptions {
  readonly name: string
  readonly events: string
  readonly replay: string | undefined
  readonly onEvent: (event: KvEvent) => void
  /** The endpoint is another process, or what was known of it has a hole: forget it. */
  readonly onFence: () => void
  readonly log: Logger
}

/** Nothing heard from a replay for this long ends the try. */
const REPLAY_IDLE_MS = 2000
const REPLAY_TRIES_MAX = 3
const REPLAY_MESSAGES_MAX = 1_000_000
const RECONNECT_MS = 100
const RECONNECT_MS_MAX = 2000
const MESSAGES_QUEUED_MAX = 100_000

export type SubscriberState = 'cold' | 'syncing' | 'live'

export class EventSubscriber {
  readonly #options: SubscriberOptions
  readonly #socket: Subscriber
  #nextSeq = 0
  #state: SubscriberState = 'cold'
  #stopped = false
  #hasConnected = false
  /** The engine may be another process: the next message decides after a fence and a replay. */
  #mustResync = true
  #running: Promise<void> = Promise.resolve()
  readonly counts = { messages: 0, malformed: 0, gaps: 0, fences: 0, replayed: 0 }

  constructor(options: SubscriberOptions) {
    this.#options = options
    this.#socket = new Subscriber({
      receiveHighWaterMark: MESSAGES_QUEUED_MAX,
      reconnectInterval: RECONNECT_MS,
      reconnectMaxInterval: RECONNECT_MS_MAX,
      linger: 0,
    })
  }

  get state(): SubscriberState {
    return this.#state
  }

  start(): void {
    this.#socket.events.on('connect', () => this.#onConnect())
    this.#socket.events.on('disconnect', () => this.#onDisconnect())
    this.#socket.connect(this.#options.events)
    this.#socket.subscribe()
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#socket.close()
    await this.#running
    await this.#work
  }

  #onConnect(): void {
    if (this.#stopped) return
    const isFirst = !this.#hasConnected
    this.#hasConnected = true
    if (!isFirst) this.#fence('reconnected')
    this.#mustResync = true
    // An idle engine sends nothing, so the replay does not wait for a message.
    void this.#serialize(() => this.#resync())
  }

  #onDisconnect(): void {
    if (this.#stopped) return
    this.#state = 'cold'
    this.#fence('disconnected')
    this.#mustResync = true
  }

  #work: Promise<void> = Promise.resolve()

  /** Messages and resyncs are handled one after another. */
  #serialize(step: () => Promise<void> | void): Promise<void> {
    this.#work = this.#work.then(step).catch((error: unknown) => {
      this.#options.log.warn(
        { endpoint: this.#options.name, error: String(error) },
        'KV events: a step failed',
      )
    })
    return this.#work
  }

  async #run(): Promise<void> {
    try {
      for await (const frames of this.#socket) {
        if (this.#stopped) return
        await this.#serialize(() => this.#onFrames(frames))
      }
    } catch (error) {
      if (!this.#stopped)
        this.#options.log.error({ endpoint: this.#options.name, error: String(error) }, 'KV events ended')
    }
  }

  async #onFrames(frames: readonly Uint8Array[]): Promise<void> {
    const message = parseLiveFrames(frames)
    if (!message) {
      this.counts.malformed++
      return
    }
    if (this.#mustResync) await this.#resync()
    const verdict = judgeEvent(this.#nextSeq, message.seq)
    if (verdict.kind === 'duplicate') return
    if (verdict.kind === 'restarted') {
      this.#fence('sequence went back')
      await this.#resync()
    } else if (verdict.kind === 'gap') {
      this.counts.gaps++
      await this.#closeGap(message.seq)
    }
    // After a replay the message may be part of what was replayed.
    if (message.seq >= this.#nextSeq) this.#apply(message)
  }

  /** Replays everything from 0. */
  async #resync(): Promise<void> {
    if (!this.#mustResync && this.#state === 'live') return
    this.#mustResync = false
    this.#state = 'syncing'
    this.#nextSeq = 0
    await this.#replay(0, Number.POSITIVE_INFINITY)
    this.#state = 'live'
  }

  async #closeGap(untilSeq: number): Promise<void> {
    this.#state = 'syncing'
    const isWhole = await this.#replay(this.#nextSeq, untilSeq)
    if (!isWhole) {
      // Removals may be among what is lost: nothing known before can be trusted.
      this.#fence('gap')
      await this.#replay(0, untilSeq)
    }
    this.#state = 'live'
  }

  /** Applies what the engine has from `fromSeq` on; true when it begins there and has no hole before `untilSeq`. */
  async #replay(fromSeq: number, untilSeq: number): Promise<boolean> {
    const { replay } = this.#options
    if (replay === undefined) return false
    let isWhole = true
    for (let tries = 0; tries < REPLAY_TRIES_MAX && !this.#stopped; tries++) {
      const before = this.#nextSeq
      const ended = await this.#replayOnce(replay, tries === 0 ? fromSeq : this.#nextSeq, (message) => {
        if (message.seq < this.#nextSeq) return
        if (message.seq > this.#nextSeq) isWhole = false
        this.counts.replayed++
        this.#apply(message)
      })
      if (ended) return isWhole && (untilSeq === Number.POSITIVE_INFINITY || this.#nextSeq >= untilSeq)
      if (this.#nextSeq === before) await sleep(RECONNECT_MS)
    }
    return false
  }

  async #replayOnce(
    address: string,
    fromSeq: number,
    onMessage: (message: EventMessage) => void,
  ): Promise<boolean> {
    const dealer = new Dealer({ receiveTimeout: REPLAY_IDLE_MS, sendTimeout: REPLAY_IDLE_MS, linger: 0 })
    try {
      dealer.connect(address)
      await dealer.send(replayRequest(fromSeq).map((frame) => Buffer.from(frame)))
      for (let messages = 0; messages < REPLAY_MESSAGES_MAX && !this.#stopped; messages++) {
        const reply = parseReplayFrames(await dealer.receive())
        if (reply?.kind === 'end') return true
        if (reply) onMessage(reply.message)
        else this.counts.malformed++
      }
      return false
    } catch {
      // Silence: the engine is gone, or its replies overran our queue.
      return false
    } finally {
      dealer.close()
    }
  }

  #apply(message: EventMessage): void {
    this.counts.messages++
    this.#nextSeq = message.seq + 1
    const batch = decodeBatch(message.payload)
    if (!batch) {
      this.counts.malformed++
      return
    }
    for (const event of batch.events) this.#options.onEvent(event)
  }

  #fence(reason: string): void {
    this.counts.fences++
    this.#nextSeq = 0
    this.#mustResync = reason !== 'gap'
    this.#options.onFence()
    this.#options.log.info({ endpoint: this.#options.name, reason }, 'KV events: residency forgotten')
  }
}
