/**
 * The report stream to one object of a regional directory, without its socket and its clock: what happens goes in, what is
 * to be done comes out. `../directory-stream.ts` does it.
 */
import type { AgentMessage, Heartbeat } from '../../protocol/report.ts'
import { PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST } from '../../protocol/version.ts'
import { Backoff } from './backoff.ts'
import { Beats } from './beats.ts'
import { parseDirectoryMessage } from './directory-message.ts'
import { EpochFrames, type Change } from './epoch-frames.ts'
import type { Command, StreamInput } from './stream-input.ts'
import { STREAM_TABLE, type StreamEvent, type StreamState, type StreamTable } from './stream-state.ts'

/** Silence in which a handshake, a snapshot or a live directory is given up and begun anew on another socket. */
export const PROGRESS_MS_MAX = 10_000
/** Changes that wait for a snapshot to end; beyond it a new snapshot is cheaper. */
export const PENDING_MAX = 500_000

export class ReportStream {
  readonly #input: StreamInput
  readonly #table: StreamTable
  readonly #backoff: Backoff
  readonly #beats = new Beats()
  #commands: Command[] = []
  #state: StreamState = 'connecting'
  #frames = new EpochFrames(0)
  /** What the directory is spoken to in: it may be one version behind. */
  #version = PROTOCOL_VERSION
  #speaksOlder = false
  #directoryVersion = 1
  #dialMs: number | null = 0
  #overdueMs = Infinity
  readonly counts = { resyncs: 0, connects: 0, frames: 0 }

  constructor(input: StreamInput) {
    this.#input = input
    this.#table = input.table ?? STREAM_TABLE
    this.#backoff = new Backoff(input.random)
  }

  get state(): StreamState {
    return this.#state
  }

  /** What is to be done, in order; each command is given once. */
  take(): Command[] {
    const commands = this.#commands
    this.#commands = []
    return commands
  }

  /** The socket that was dialled is open. */
  opened(nowMs: number): void {
    this.#step('open', nowMs)
  }

  /** The socket is gone, whether it was open or not. */
  closed(nowMs: number): void {
    this.#step('closed', nowMs)
  }

  /** The socket takes no more: the directory is too slow. */
  stalled(nowMs: number): void {
    this.#giveUp('the directory is too slow', nowMs)
  }

  /** The agent leaves for good. */
  quiesce(nowMs: number): void {
    this.#step('quiesce', nowMs)
  }

  /** To be called at least every DELTA_INTERVAL_MS. */
  tick(nowMs: number): void {
    if (this.#state === 'left') return
    if (this.#dialMs !== null && nowMs >= this.#dialMs) {
      this.#dialMs = null
      this.#overdueMs = nowMs + PROGRESS_MS_MAX
      this.counts.connects++
      this.#commands.push({ kind: 'dial' })
    } else if (nowMs >= this.#overdueMs) this.#giveUp('no answer', nowMs)
    this.#sendOutcomes(nowMs)
  }

  /** Changes since the last call, the oldest `ageMs` ago; they go out at once, or after the snapshot under way. */
  push(changes: readonly Change[], ageMs: number, nowMs: number): void {
    // Before a snapshot is taken, it will hold them.
    if (changes.length === 0 || !this.#isGreeted) return
    this.#frames.hold(changes, ageMs, nowMs)
    if (this.#state === 'live') this.#flush(nowMs)
    else if (this.#frames.waiting > PENDING_MAX) this.#giveUp('too many changes wait', nowMs)
  }

  heartbeat(load: Pick<Heartbeat, 'loads' | 'draining'>, nowMs: number): void {
    if (!this.#isGreeted) return
    const { rttMs } = this.#beats
    this.#say({
      type: 'heartbeat',
      v: this.#version,
      epoch: this.#frames.epoch,
      seq: this.#frames.seq,
      ...load,
      beat: this.#beats.next(nowMs),
      ...(rttMs === null ? {} : { rttMs }),
    })
  }

  received(data: unknown, nowMs: number): void {
    const message = parseDirectoryMessage(data)
    if (!message) return
    const { epoch, seq } = this.#frames
    switch (message.type) {
      case 'refused':
        this.#log('warn', 'directory refused the agent', message.reason)
        this.#backoff.expectLong()
        return this.#step('refused', nowMs)
      case 'resync':
        return this.#resync(message.reason, nowMs)
      case 'outcomes-ack':
        return this.#input.outcomes?.acknowledge(message.batch, message.untaken, nowMs)
      case 'welcome':
        if (message.epoch !== epoch) return
        this.#directoryVersion = message.v ?? 1
        return this.#step('welcome', nowMs)
      case 'ack':
        if (message.epoch !== epoch || message.seq !== seq) return
        return this.#step(this.#frames.isSnapshotOut ? 'last-ack' : 'ack', nowMs)
      case 'heard':
        if (message.epoch !== epoch) return
        this.#beats.heard(message.beat, nowMs)
        if (this.#state === 'live') this.#overdueMs = nowMs + PROGRESS_MS_MAX
    }
  }

  get #isGreeted(): boolean {
    return this.#state === 'snapshot' || this.#state === 'live'
  }

  /** What both sides understand. */
  get #commonVersion(): number {
    return Math.min(this.#version, this.#directoryVersion)
  }

  #resync(reason: string, nowMs: number): void {
    this.counts.resyncs++
    this.#log('info', 'directory asked for a resync', reason)
    if (reason !== 'unsupported-version') return this.#step('resync', nowMs)
    // A rollout mixes two versions: the next socket speaks the older one, the one after it tries again.
    this.#speaksOlder = this.#version > PROTOCOL_VERSION_OLDEST
    this.#step('refused', nowMs)
  }

  #step(event: StreamEvent, nowMs: number): void {
    const from = this.#state
    const { to, action } = this.#table[from][event]
    this.#state = to
    if (action === 'send-hello') this.#sendHello(nowMs)
    else if (action === 'send-part') this.#sendPart(from, nowMs)
    else if (action === 'redial') this.#redial(nowMs)
    else if (action === 'say-goodbye') this.#sayGoodbye()
    if (to !== 'live' || from === 'live') return
    this.#backoff.succeed()
    // A directory of version 1 answers no heartbeats.
    this.#overdueMs = this.#directoryVersion > 1 ? nowMs + PROGRESS_MS_MAX : Infinity
    this.#flush(nowMs)
  }

  #sendHello(nowMs: number): void {
    this.#version = this.#speaksOlder ? PROTOCOL_VERSION_OLDEST : PROTOCOL_VERSION
    const epoch = Math.floor(this.#input.random() * 2 ** 32)
    this.#frames = new EpochFrames(epoch, this.#version, this.#input.partMax)
    this.#beats.restart()
    this.#overdueMs = nowMs + PROGRESS_MS_MAX
    this.#say({ type: 'hello', v: this.#version, epoch, ...this.#input.hello() })
  }

  /** Each part waits for the ack of the one before, so that a lookup waits behind one part at most. */
  #sendPart(from: StreamState, nowMs: number): void {
    if (from === 'greeting') this.#frames.takeSnapshot(this.#input.snapshot())
    const part = this.#frames.nextPart()
    if (part === null) return
    this.#overdueMs = nowMs + PROGRESS_MS_MAX
    this.#send(part)
  }

  #flush(nowMs: number): void {
    for (const frame of this.#frames.flush(nowMs)) this.#send(frame)
  }

  /** Outcomes go out on any stream that is past its greeting, whatever its snapshot does. */
  #sendOutcomes(nowMs: number): void {
    if (!this.#isGreeted || this.#commonVersion < 2) return
    const due = this.#input.outcomes?.due(nowMs)
    if (!due) return
    const { batch, outcomes } = due
    const { epoch } = this.#frames
    this.#say({ type: 'outcomes', v: this.#version, epoch, batch, outcomes: [...outcomes] })
  }

  #sayGoodbye(): void {
    const { epoch } = this.#frames
    if (this.#commonVersion >= 2) this.#say({ type: 'quiesce', v: this.#version, epoch })
    this.#commands.push({ kind: 'close' })
    this.#dialMs = null
  }

  #redial(nowMs: number): void {
    if (this.#version === PROTOCOL_VERSION_OLDEST) this.#speaksOlder = false
    this.#commands.push({ kind: 'close' })
    this.#input.outcomes?.reconnect()
    this.#frames = new EpochFrames(0)
    this.#overdueMs = Infinity
    this.#dialMs = nowMs + this.#backoff.nextMs()
  }

  #giveUp(reason: string, nowMs: number): void {
    this.#log('warn', 'report stream is begun anew', reason)
    this.#step('overdue', nowMs)
  }

  #say(message: AgentMessage): void {
    this.#commands.push({ kind: 'send', data: JSON.stringify(message) })
  }

  #send(data: Uint8Array<ArrayBuffer>): void {
    this.counts.frames++
    this.#commands.push({ kind: 'send', data })
  }

  #log(level: 'info' | 'warn', text: string, reason: string): void {
    this.#commands.push({ kind: 'log', level, text, reason })
  }
}
