/** The socket of one report stream: does what `report/report-stream.ts` says and tells it what happens. */
import type { Logger } from 'pino'
import { WebSocket } from 'undici'
import { ReportStream } from './report/report-stream.ts'
import type { StreamInput } from './report/stream-input.ts'

export interface DirectoryStreamOptions extends StreamInput {
  /** Names the stream in logs. */
  readonly name: string
  readonly url: string
  readonly clusterToken: string
  readonly log: Logger
}

/** Bytes that the socket has not taken yet: beyond it the directory is too slow, and a new snapshot is cheaper. */
const BUFFERED_BYTES_MAX = 8 * 1024 * 1024

export class DirectoryStream {
  readonly #options: DirectoryStreamOptions
  readonly #stream: ReportStream
  #socket: WebSocket | null = null

  constructor(options: DirectoryStreamOptions) {
    this.#options = options
    this.#stream = new ReportStream(options)
  }

  get state(): ReportStream['state'] {
    return this.#stream.state
  }

  get counts(): ReportStream['counts'] {
    return this.#stream.counts
  }

  /** Tells the state machine of `event` and does what comes of it. */
  drive(event: (stream: ReportStream, nowMs: number) => void): void {
    event(this.#stream, performance.now())
    this.#perform()
  }

  stop(): void {
    this.drive((stream, nowMs) => stream.quiesce(nowMs))
  }

  #perform(): void {
    for (let commands = this.#stream.take(); commands.length > 0; commands = this.#stream.take()) {
      for (const command of commands) {
        if (command.kind === 'dial') this.#dial()
        else if (command.kind === 'send') this.#send(command.data)
        else if (command.kind === 'close') this.#close()
        else
          this.#options.log[command.level](
            { directory: this.#options.name, reason: command.reason },
            command.text,
          )
      }
    }
  }

  #dial(): void {
    const { url, clusterToken } = this.#options
    const socket = new WebSocket(url, { headers: { authorization: `Bearer ${clusterToken}` } })
    socket.binaryType = 'arraybuffer'
    this.#socket = socket
    const on = (event: (stream: ReportStream, nowMs: number) => void) => {
      // A socket that was let go of has nothing more to say.
      if (socket === this.#socket) this.drive(event)
    }
    socket.addEventListener('open', () => on((stream, nowMs) => stream.opened(nowMs)))
    socket.addEventListener('message', ({ data }) => on((stream, nowMs) => stream.received(data, nowMs)))
    socket.addEventListener('close', () => on((stream, nowMs) => stream.closed(nowMs)))
    // A close follows every error.
    socket.addEventListener('error', () => undefined)
  }

  #send(data: string | Uint8Array<ArrayBuffer>): void {
    const socket = this.#socket
    if (!socket || socket.readyState !== WebSocket.OPEN) return
    socket.send(data)
    if (socket.bufferedAmount > BUFFERED_BYTES_MAX) this.#stream.stalled(performance.now())
  }

  #close(): void {
    this.#socket?.close()
    this.#socket = null
  }
}
