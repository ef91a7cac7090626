/**
 * The report stream to one regional directory: a WebSocket that the agent dials, the state machine of
 * `report/stream.ts`, frames out, acks in. Changes that come while a snapshot is under way wait for its end.
 */
import { randomInt } from 'node:crypto'
import type { Logger } from 'pino'
import { WebSocket } from 'undici'
import { encodeReportFrame, FRAME_CHANGES_MAX, type FrameKind } from '../protocol/report-frame.ts'
import {
  directoryMessageSchema,
  REPORT_PATH,
  type DirectoryMessage,
  type Hello,
  type Heartbeat,
  type ModelLoad,
  type Outcomes,
} from '../protocol/report.ts'
import { PROTOCOL_VERSION } from '../protocol/version.ts'
import type { ResidencyChange } from './ledger/prefix-ledger.ts'
import { OutcomeQueue } from './report/outcome-queue.ts'
import { STREAM_TABLE, type StreamEvent, type StreamState } from './report/stream.ts'

export interface StreamOptions {
  readonly region: string
  readonly url: string
  readonly cluster: string
  readonly clusterToken: string
  readonly hello: () => Omit<Hello, 'type' | 'v' | 'epoch'>
  readonly snapshot: () => ResidencyChange[]
  readonly log: Logger
}

const BACKOFF_MS = 200
const BACKOFF_MS_MAX = 10_000
/** A handshake or a snapshot that does not get on for this long is begun anew on another socket. */
const PROGRESS_MS_MAX = 10_000
/** Bytes that the socket has not taken yet: beyond it the directory is too slow, and a new snapshot is cheaper. */
const BUFFERED_BYTES_MAX = 8 * 1024 * 1024
const PENDING_MAX = 500_000
/** A snapshot part is small enough that a lookup waits at most a few milliseconds behind it. */
const PART_CHANGES_MAX = 8192

export class DirectoryStream {
  readonly #options: StreamOptions
  #socket: WebSocket | null = null
  #state: StreamState = 'connecting'
  #epoch = 0
  #seq = 0
  #parts: ResidencyChange[][] = []
  #pending: ResidencyChange[] = []
  #tries = 0
  #timer: NodeJS.Timeout | undefined
  #progress: NodeJS.Timeout | undefined
  #isStopped = false
  /** What came true of requests of this region's edges. */
  readonly outcomes = new OutcomeQueue()
  readonly counts = { resyncs: 0, connects: 0, frames: 0 }

  constructor(options: StreamOptions) {
    this.#options = options
  }

  get region(): string {
    return this.#options.region
  }

  get state(): StreamState {
    return this.#state
  }

  start(): void {
    this.#connect()
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    clearTimeout(this.#progress)
    this.#socket?.close()
  }

  /** Changes since the last call; they go out at once, or after the snapshot that is under way. */
  push(changes: readonly ResidencyChange[]): void {
    // Before a snapshot is taken, it will hold them.
    if (this.#state === 'connecting' || this.#state === 'greeting') return
    for (const change of changes) this.#pending.push(change)
    if (this.#pending.length > PENDING_MAX) this.#restart('too many changes wait')
    else if (this.#state === 'live') this.#flush()
  }

  heartbeat(loads: readonly ModelLoad[], draining: boolean): void {
    if (this.#state !== 'live' && this.#state !== 'snapshot') return
    const message: Heartbeat = {
      type: 'heartbeat',
      v: PROTOCOL_VERSION,
      epoch: this.#epoch,
      seq: this.#seq,
      loads: [...loads],
      draining,
    }
    this.#send(JSON.stringify(message))
  }

  /** Outcomes go out on any stream that is past its greeting, whatever its snapshot does. */
  sendOutcomes(nowMs: number): void {
    if (this.#state !== 'live' && this.#state !== 'snapshot') return
    const due = this.outcomes.due(nowMs)
    if (due === null) return
    const message: Outcomes = {
      type: 'outcomes',
      v: PROTOCOL_VERSION,
      epoch: this.#epoch,
      batch: due.batch,
      outcomes: [...due.outcomes],
    }
    this.#send(JSON.stringify(message))
  }

  #connect(): void {
    const { url, region, cluster, clusterToken } = this.#options
    const address = new URL(`${url.replace(/\/$/, '')}${REPORT_PATH}/${region}`)
    address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:'
    address.searchParams.set('cluster', cluster)
    const socket = new WebSocket(address, { headers: { authorization: `Bearer ${clusterToken}` } })
    socket.binaryType = 'arraybuffer'
    this.#socket = socket
    this.counts.connects++
    socket.addEventListener('open', () => this.#on('open', socket))
    socket.addEventListener('message', ({ data }) => this.#onMessage(data, socket))
    socket.addEventListener('close', () => this.#on('closed', socket))
    // A close follows every error.
    socket.addEventListener('error', () => undefined)
  }

  #onMessage(data: unknown, socket: WebSocket): void {
    const message = parseMessage(data)
    if (!message || socket !== this.#socket) return
    if (message.type === 'refused') {
      this.#options.log.warn(
        { directory: this.#options.region, reason: message.reason },
        'directory refused the agent',
      )
      // The reason does not pass quickly: the longest wait is due.
      this.#tries = 16
      socket.close()
    } else if (message.type === 'resync') {
      this.counts.resyncs++
      this.#options.log.info(
        { directory: this.#options.region, reason: message.reason },
        'directory asked for a resync',
      )
      this.#on('resync', socket)
    } else if (message.type === 'outcomes-ack') {
      this.outcomes.acknowledge(message.batch, message.untaken, performance.now())
    } else if ('epoch' in message && message.epoch === this.#epoch) {
      const isLast = message.type === 'ack' && message.seq === this.#seq && this.#parts.length === 0
      this.#on(message.type === 'welcome' ? 'welcome' : isLast ? 'last-ack' : 'ack', socket)
    }
  }

  #on(event: StreamEvent, socket: WebSocket): void {
    if (socket !== this.#socket || this.#isStopped) return
    const { to, action } = STREAM_TABLE[this.#state][event]
    const from = this.#state
    this.#state = to
    if (action === 'send-hello') this.#sendHello()
    else if (action === 'send-part') this.#sendPart(from)
    else if (action === 'reconnect') this.#reconnect()
    if (to === 'live' && from !== 'live') {
      this.#tries = 0
      clearTimeout(this.#progress)
      this.#flush()
    }
  }

  #sendHello(): void {
    this.#epoch = randomInt(2 ** 32)
    this.#seq = 0
    this.#pending = []
    this.#parts = []
    this.#expectProgress()
    const hello: Hello = { type: 'hello', v: PROTOCOL_VERSION, epoch: this.#epoch, ...this.#options.hello() }
    this.#send(JSON.stringify(hello))
  }

  /** Each part waits for the ack of the one before, so that a lookup waits behind one part at most. */
  #sendPart(from: StreamState): void {
    if (from === 'greeting') {
      const all = this.#options.snapshot()
      for (let at = 0; at === 0 || at < all.length; at += PART_CHANGES_MAX) {
        this.#parts.push(all.slice(at, at + PART_CHANGES_MAX))
      }
    }
    const part = this.#parts.shift()
    if (!part) return
    this.#expectProgress()
    this.#sendFrame(this.#parts.length === 0 ? 'snapshot-end' : 'snapshot', part)
  }

  #flush(): void {
    for (let at = 0; at < this.#pending.length; at += FRAME_CHANGES_MAX) {
      this.#sendFrame('delta', this.#pending.slice(at, at + FRAME_CHANGES_MAX))
    }
    this.#pending = []
  }

  #sendFrame(kind: FrameKind, changes: readonly ResidencyChange[]): void {
    this.#seq++
    this.counts.frames++
    this.#send(
      encodeReportFrame({
        kind,
        epoch: this.#epoch,
        seq: this.#seq,
        count: changes.length,
        keysLo: Uint32Array.from(changes, ({ lo }) => lo),
        keysHi: Uint32Array.from(changes, ({ hi }) => hi),
        tiers: Uint8Array.from(changes, ({ tier }) => tier),
      }),
    )
  }

  #send(data: string | Uint8Array<ArrayBuffer>): void {
    const socket = this.#socket
    if (!socket || socket.readyState !== WebSocket.OPEN) return
    socket.send(data)
    if (socket.bufferedAmount > BUFFERED_BYTES_MAX) this.#restart('the directory is too slow')
  }

  #expectProgress(): void {
    clearTimeout(this.#progress)
    this.#progress = setTimeout(() => this.#restart('no answer'), PROGRESS_MS_MAX)
  }

  #restart(reason: string): void {
    this.#options.log.warn({ directory: this.#options.region, reason }, 'report stream is begun anew')
    const socket = this.#socket
    if (!socket) return
    this.#on('closed', socket)
    socket.close()
  }

  #reconnect(): void {
    clearTimeout(this.#progress)
    clearTimeout(this.#timer)
    this.#socket = null
    this.outcomes.reconnect()
    this.#pending = []
    this.#parts = []
    const boundMs = Math.min(BACKOFF_MS * 2 ** this.#tries++, BACKOFF_MS_MAX)
    this.#timer = setTimeout(() => this.#connect(), randomInt(Math.ceil(boundMs)) + 1)
  }
}

function parseMessage(data: unknown): DirectoryMessage | null {
  if (typeof data !== 'string') return null
  try {
    const parsed = directoryMessageSchema.safeParse(JSON.parse(data))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}
