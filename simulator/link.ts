/**
 * A wide-area link: a TCP relay that delays every byte by half a round trip each way, in order. Opening a connection
 * costs one round trip more, as a handshake does. A link can refuse, stall and drop.
 */
import { createConnection, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** `stall`: accepts and delivers nothing. `refuse`: resets new connections. `drop`: resets the live ones too. */
export type LinkMode = 'open' | 'refuse' | 'stall' | 'drop'

export interface LinkOptions {
  readonly port?: number
  readonly host?: string
  readonly target: { readonly host: string; readonly port: number }
  readonly rttMs: number
}

export interface RunningLink {
  readonly port: number
  readonly url: string
  set(mode: LinkMode): void
  setRttMs(rttMs: number): void
  stop(): Promise<void>
}

/** Bytes on their way in one direction of one connection; the sender is paused beyond. */
const FLIGHT_BYTES_MAX = 4 << 20
const CONNECTIONS_MAX = 10_000

/** Starts a link; rejects when its port is taken. */
export async function startLink(options: LinkOptions): Promise<RunningLink> {
  const link = new Link(options)
  await link.listen(options.port ?? 0)
  return link
}

class Link implements RunningLink {
  port = 0
  url = ''
  mode: LinkMode = 'open'
  rttMs: number
  private readonly options: LinkOptions
  private readonly server: Server
  private readonly connections = new Set<Connection>()

  constructor(options: LinkOptions) {
    this.options = options
    this.rttMs = options.rttMs
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.accept(client))
    this.server.maxConnections = CONNECTIONS_MAX
  }

  listen(port: number): Promise<void> {
    const host = this.options.host ?? '127.0.0.1'
    return new Promise((resolve, reject) => {
      this.server.once('error', (error: NodeJS.ErrnoException) => {
        const isTaken = error.code === 'EADDRINUSE'
        reject(
          isTaken
            ? new Error(`cannot listen on ${host}:${port}: the port is in use`, { cause: error })
            : error,
        )
      })
      this.server.listen(port, host, () => {
        this.port = (this.server.address() as AddressInfo).port
        this.url = `http://${host}:${this.port}`
        resolve()
      })
    })
  }

  set(mode: LinkMode): void {
    this.mode = mode
    if (mode === 'drop') for (const connection of this.connections) connection.reset()
    else for (const connection of this.connections) connection.pump()
  }

  setRttMs(rttMs: number): void {
    this.rttMs = rttMs
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve))
    for (const connection of this.connections) connection.reset()
    await closed
  }

  private accept(client: Socket): void {
    client.on('error', () => undefined)
    if (this.mode === 'refuse' || this.mode === 'drop') {
      client.resetAndDestroy()
      return
    }
    const target = createConnection({ ...this.options.target, allowHalfOpen: true, noDelay: true })
    const connection = new Connection(this, client, target, () => this.connections.delete(connection))
    this.connections.add(connection)
  }
}

class Connection {
  private readonly sockets: readonly [Socket, Socket]
  private readonly directions: readonly [Direction, Direction]
  private isReset = false

  constructor(link: Link, client: Socket, target: Socket, onGone: () => void) {
    const openMs = performance.now() + link.rttMs
    this.sockets = [client, target]
    this.directions = [
      new Direction(link, client, target, openMs),
      new Direction(link, target, client, openMs),
    ]
    let closed = 0
    for (const socket of this.sockets) {
      socket.on('error', () => undefined)
      socket.on('close', (hadError: boolean) => {
        closed++
        if (closed === 2) onGone()
        if (hadError || !socket.readableEnded) this.reset()
      })
    }
  }

  pump(): void {
    for (const direction of this.directions) direction.pump()
  }

  /** Ends both sides at once, as a broken path does. */
  reset(): void {
    if (this.isReset) return
    this.isReset = true
    for (const direction of this.directions) direction.stop()
    for (const socket of this.sockets) if (!socket.destroyed) socket.resetAndDestroy()
  }
}

/** Everything from one socket to the other: chunks, then perhaps the end. */
class Direction {
  private readonly link: Link
  private readonly from: Socket
  private readonly to: Socket
  private readonly openMs: number
  /** A null chunk is the end. */
  private readonly flight: { readonly chunk: Buffer | null; readonly dueMs: number }[] = []
  private bytes = 0
  private timer: NodeJS.Timeout | null = null
  private isBlocked = false

  constructor(link: Link, from: Socket, to: Socket, openMs: number) {
    this.link = link
    this.from = from
    this.to = to
    this.openMs = openMs
    from.on('data', (chunk: Buffer) => this.send(chunk))
    from.on('end', () => this.send(null))
    to.on('drain', () => {
      this.isBlocked = false
      this.pump()
    })
  }

  /** Delivers what is due. */
  pump(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    if (this.link.mode === 'stall') return
    while (!this.isBlocked) {
      const next = this.flight[0]
      if (next === undefined) return
      const waitMs = next.dueMs - performance.now()
      if (waitMs > 0) {
        this.timer = setTimeout(() => this.pump(), waitMs)
        return
      }
      this.flight.shift()
      this.deliver(next.chunk)
    }
  }

  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    this.flight.length = 0
  }

  private send(chunk: Buffer | null): void {
    const sentMs = Math.max(performance.now(), this.openMs)
    this.flight.push({ chunk, dueMs: sentMs + this.link.rttMs / 2 })
    this.bytes += chunk?.length ?? 0
    if (this.bytes >= FLIGHT_BYTES_MAX) this.from.pause()
    if (this.timer === null) this.pump()
  }

  private deliver(chunk: Buffer | null): void {
    if (chunk === null) {
      this.to.end()
      return
    }
    this.bytes -= chunk.length
    if (!this.to.write(chunk)) this.isBlocked = true
    if (this.bytes < FLIGHT_BYTES_MAX && this.from.isPaused()) this.from.resume()
  }
}
