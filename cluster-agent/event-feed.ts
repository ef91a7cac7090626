/**
 * What one engine core says, from frames to the index: events/event-stream.ts with a decoder, replays and a clock. Where
 * the frames come from is the business of event-subscriber.ts (we dial) and event-listener.ts (engines dial).
 */
import type { Logger } from 'pino'
import { replayEvents } from './event-replay.ts'
import { BatchDecoder } from './events/batch-decoder.ts'
import { EventBatch } from './events/event-batch.ts'
import { EventStream } from './events/event-stream.ts'
import { parseLiveFrames, peekRank, type EventMessage } from './events/frames.ts'
import type { StreamState } from './events/stream-table.ts'

export interface FeedOptions {
  readonly name: string
  readonly replay: string | undefined
  /** Data-parallel rank whose events these are; of others nothing is taken. */
  readonly rank?: number | undefined
  /** `seq` is null for what the engine did not say itself. */
  readonly onBatch: (batch: EventBatch, seq: number | null) => void
  /** The endpoint is another process, or what was known of it has a hole: forget it. */
  readonly onFence: (reason: string) => void
  readonly log: Logger
}

/** Silence after which an engine is asked for its last words: while it is idle nothing shows that they are lost. */
const QUIET_MS = 3000
const QUIET_MS_MAX = 60_000
/** How late others may hear of a restart that the socket has told of: to forget twice would lose what came between. */
const NEWS_MS_MAX = 10_000
/** A replay that gave nothing is not asked for again for so long, twice as long each time, unless the engine connects anew. */
const COOL_DOWN_MS = 1000
const COOL_DOWN_MS_MAX = 60_000
/** So long live events behind a gap wait for a reply; not at all where the last replay gave nothing. */
const PATIENCE_MS = 1000
/** So long what was lost counts as a cause: by then an engine has mostly evicted it or said it again. */
const LOSS_MS_MAX = 600_000

export class EventFeed {
  readonly #options: FeedOptions
  readonly #stream: EventStream
  readonly #decoder = new BatchDecoder()
  readonly #stopping = new AbortController()
  #replaying = new AbortController()
  #replays: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #heardMs = performance.now()
  #forgottenMs = Number.NEGATIVE_INFINITY
  #connectedMs = Number.NEGATIVE_INFINITY
  #repliedMs = Number.NEGATIVE_INFINITY
  #incarnation: string | null = null
  #quietMs = QUIET_MS
  #coolUntilMs = 0
  #coolDownMs = COOL_DOWN_MS
  #malformed = 0
  #foreign = 0

  constructor(options: FeedOptions) {
    this.#options = options
    this.#stream = new EventStream({
      apply: (message) => this.#apply(message),
      forget: (reason) => this.#forget(reason),
      replay: options.replay === undefined ? null : (fromSeq, token) => this.#replay(fromSeq, token),
    })
  }

  get state(): StreamState {
    return this.#stream.state
  }

  /** Whether the engine may hold what was said and not heard: it was lost not long ago, and no replay has brought it. */
  get mayMissEvents(): boolean {
    const sinceMs = performance.now() - Math.max(this.#forgottenMs, this.#connectedMs)
    return this.state !== 'live' || (this.#stream.isMissing && sinceMs <= LOSS_MS_MAX)
  }

  get counts() {
    const { applied, replayed, gaps, copies, fences, holes, overruns } = this.#stream.counts
    return {
      messages: applied,
      replayed,
      gaps,
      copies,
      fences: fences + holes,
      overruns,
      malformed: this.#malformed,
      foreign: this.#foreign,
      unusual: this.#decoder.unusual,
    }
  }

  start(): void {
    this.#timer = setInterval(() => this.#watch(), QUIET_MS / 2)
    this.#timer.unref()
  }

  connected(): void {
    this.#heardMs = this.#connectedMs = performance.now()
    this.#coolUntilMs = 0
    this.#coolDownMs = COOL_DOWN_MS
    this.#quietMs = QUIET_MS
    this.#stream.connected()
  }

  /** Asks the engine whether it is the one that it was. */
  check(): void {
    this.#stream.quiet()
  }

  disconnected(): void {
    this.#replaying.abort()
    this.#stream.disconnected()
  }

  /** One live message, as it came from the socket. */
  receive(frames: readonly Uint8Array[]): void {
    const message = parseLiveFrames(frames)
    this.#heardMs = performance.now()
    if (!message) {
      this.#malformed++
      return
    }
    const { rank } = this.#options
    const speaker = rank === undefined ? null : peekRank(message.payload)
    // Each rank counts its messages on its own.
    if (speaker !== null && speaker !== rank) this.#foreign++
    else this.#stream.receive(message)
    this.#checkPatience()
  }

  /** Forgets what is known of the engine and reads it anew. */
  fence(reason: string): void {
    this.#stream.changed(reason)
  }

  /** Reads its history again. What is known stands until it comes; false where it never will. */
  reread(): boolean {
    this.#coolUntilMs = 0
    this.#stream.reread()
    return this.#options.replay !== undefined
  }

  /** Another process is there, says somebody who does not know whether the socket said so already. */
  noteRestart(): void {
    if (performance.now() - this.#forgottenMs > NEWS_MS_MAX) this.#stream.changed('another incarnation')
  }

  /** The process's start time or the pod's id: another one than before means an empty cache. */
  noteIncarnation(incarnation: string): void {
    const isAnother = this.#incarnation !== null && this.#incarnation !== incarnation
    this.#incarnation = incarnation
    if (isAnother) this.noteRestart()
  }

  /** The engine's cache was reset: it says so itself only with its next step. */
  noteReset(): void {
    const batch = new EventBatch()
    batch.open('cleared')
    this.#options.onBatch(batch, null)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#stopping.abort()
    this.#replaying.abort()
    await this.#replays
  }

  #watch(): void {
    this.#checkPatience()
    // Under load too: what an engine has said stays unknown otherwise until it says so again.
    if (performance.now() >= this.#coolUntilMs) this.#stream.refill()
    if (performance.now() - this.#heardMs < this.#quietMs) return
    this.#heardMs = performance.now()
    this.#stream.quiet()
  }

  #checkPatience(): void {
    const hasFailed = this.#coolDownMs > COOL_DOWN_MS
    if (!this.#stream.isWaiting) return
    if (!hasFailed && performance.now() - this.#repliedMs <= PATIENCE_MS) return
    this.#replaying.abort()
    this.#noteReplay(false)
    this.#stream.giveUpReplay()
  }

  #noteReplay(isWhole: boolean): void {
    this.#quietMs = isWhole ? QUIET_MS : Math.min(this.#quietMs * 2, QUIET_MS_MAX)
    if (isWhole) this.#coolDownMs = COOL_DOWN_MS
    else {
      this.#coolUntilMs = performance.now() + this.#coolDownMs
      this.#coolDownMs = Math.min(this.#coolDownMs * 2, COOL_DOWN_MS_MAX)
      this.#options.log.warn({ endpoint: this.#options.name }, 'KV events: no replay')
    }
  }

  #apply({ seq, payload }: EventMessage): boolean {
    const batch = this.#decoder.decode(payload)
    if (!batch) {
      this.#malformed++
      return false
    }
    if (batch.isLossy) return false
    try {
      this.#options.onBatch(batch, seq)
    } catch (error) {
      // A defect of ours must not end the stream: what is known is forgotten, and it goes on.
      this.#options.log.error(
        { endpoint: this.#options.name, seq, error: String(error) },
        'KV events: not applied',
      )
      return false
    }
    return true
  }

  #forget(reason: string): void {
    this.#forgottenMs = performance.now()
    this.#options.onFence(reason)
    this.#options.log.info({ endpoint: this.#options.name, reason }, 'KV events: residency forgotten')
  }

  /** A new one ends the one before. */
  #replay(fromSeq: number, token: number): void {
    const { replay } = this.#options
    if (replay === undefined || this.#stopping.signal.aborted) return
    if (performance.now() < this.#coolUntilMs) {
      this.#stream.endReplay(token, false)
      return
    }
    this.#replaying.abort()
    this.#replaying = new AbortController()
    this.#repliedMs = performance.now()
    const { signal } = this.#replaying
    const done = replayEvents({
      address: replay,
      fromSeq,
      signal,
      onMessage: (message) => {
        this.#repliedMs = performance.now()
        if (!signal.aborted) this.#stream.receiveReplay(token, message)
      },
      onMalformed: () => this.#malformed++,
    }).then((isWhole) => {
      if (signal.aborted) return
      this.#noteReplay(isWhole)
      this.#stream.endReplay(token, isWhole)
    })
    this.#replays = Promise.all([this.#replays, done])
  }
}
