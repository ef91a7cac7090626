/**
 * The Durable Object around `RegionalDirectory`: sockets, clock and RPC. It writes nothing to storage: it is a cache of
 * the agents' truth. After an eviction its sockets may live on without their streams; each is asked for a resync when it
 * speaks. Only the Worker can reach it, which has checked the token of a socket's cluster before.
 */
import { DurableObject } from 'cloudflare:workers'
import type {
  DirectoryInspection,
  DirectoryModels,
  DirectoryRpc,
  LookupAnswer,
  LookupRequest,
} from '../protocol/lookup.ts'
import { MARKERS_MAX, nameSchema } from '../protocol/ids.ts'
import { RegionalDirectory } from './residency/regional-directory.ts'
import type { Sending } from './residency/sending.ts'

/** Sockets of one object: 16 clusters, each with old ones that have not noticed their end. */
const SOCKETS_MAX = 64
/** Close code for a refusal: policy violation. */
const CLOSE_REFUSED = 1008

/** What a socket remembers over an eviction. */
interface Attachment {
  readonly connection: string
  readonly cluster: string
}

export class CacheDirectory extends DurableObject<object> implements DirectoryRpc {
  /** Replaced by tests. */
  nowMs: () => number = () => Date.now()
  readonly #directory: RegionalDirectory
  readonly #attachments = new WeakMap<WebSocket, Attachment>()

  constructor(state: DurableObjectState, env: object) {
    super(state, env)
    this.#directory = new RegionalDirectory(state.id.name ?? 'directory')
  }

  /** Takes the report socket of `?cluster=`, already authorised. */
  override fetch(request: Request): Response {
    const cluster = nameSchema.safeParse(new URL(request.url).searchParams.get('cluster'))
    if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket' || !cluster.success) {
      return new Response('a report stream is a WebSocket with ?cluster=', { status: 400 })
    }
    if (this.ctx.getWebSockets().length >= SOCKETS_MAX) {
      return new Response('too many report streams', { status: 503 })
    }
    const { 0: client, 1: server } = new WebSocketPair()
    this.ctx.acceptWebSocket(server)
    const attachment: Attachment = { connection: crypto.randomUUID(), cluster: cluster.data }
    server.serializeAttachment(attachment)
    this.#attachments.set(server, attachment)
    return new Response(null, { status: 101, webSocket: client })
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    const attachment = this.#attachmentOf(socket)
    if (!attachment) return socket.close(CLOSE_REFUSED, 'unknown stream')
    const { connection, cluster } = attachment
    const nowMs = this.nowMs()
    const sendings =
      typeof message === 'string'
        ? this.#directory.receiveText(connection, cluster, message, nowMs)
        : this.#directory.receiveFrame(connection, cluster, new Uint8Array(message), nowMs)
    for (const sending of sendings) this.#send(socket, connection, sending)
  }

  override webSocketClose(socket: WebSocket): void {
    const attachment = this.#attachmentOf(socket)
    if (attachment) this.#directory.close(attachment.connection, attachment.cluster)
  }

  override webSocketError(socket: WebSocket): void {
    this.webSocketClose(socket)
  }

  async lookup(request: LookupRequest): Promise<LookupAnswer> {
    const { model, markers } = request
    return this.#directory.lookup({ model, markers: markers.subarray(-3 * MARKERS_MAX) }, this.nowMs())
  }

  async models(): Promise<DirectoryModels> {
    return this.#directory.models(this.nowMs())
  }

  async inspect(): Promise<DirectoryInspection> {
    return this.#directory.inspect(this.nowMs())
  }

  #send(from: WebSocket, fromConnection: string, { connection, message, closes }: Sending): void {
    const socket = connection === fromConnection ? from : this.#socketOf(connection)
    if (!socket) return
    try {
      socket.send(JSON.stringify(message))
      if (closes) socket.close(CLOSE_REFUSED, message.type)
    } catch {
      // The socket has closed meanwhile; its close event follows.
    }
  }

  #socketOf(connection: string): WebSocket | undefined {
    return this.ctx.getWebSockets().find((socket) => this.#attachmentOf(socket)?.connection === connection)
  }

  /** An attachment is lost when either side closes, so the object remembers it while it lives. */
  #attachmentOf(socket: WebSocket): Attachment | null {
    const known = this.#attachments.get(socket)
    if (known) return known
    const attachment = socket.deserializeAttachment() as Attachment | null
    if (attachment) this.#attachments.set(socket, attachment)
    return attachment
  }
}
