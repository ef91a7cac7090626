/**
 * The Durable Object around `RegionalDirectory`: sockets, clock and RPC. It is a cache of the agents' truth and writes
 * nothing of it to storage. After an eviction its sockets may live on without their streams; each is asked for a resync when it
 * speaks. Only the Worker can reach it, which has checked the token of a socket's cluster before.
 */
import { DurableObject } from 'cloudflare:workers'
import type { DirectoryInspection, DirectoryMethods, DirectoryModels } from '../protocol/lookup.ts'
import { decodeBatch } from '../protocol/lookup-wire.ts'
import { nameSchema } from '../protocol/ids.ts'
import type { OutcomeSink } from '../protocol/outcome.ts'
import { boundBatch } from './residency/bound-batch.ts'
import { OutcomeDelivery } from './outcome-delivery.ts'
import { RegionalDirectory } from './residency/regional-directory.ts'
import { send, type Delivery, type Sending } from './residency/sending.ts'
import { textOfUnits, unitsOfText } from './text-of-units.ts'
import { ToldVersions } from './told-versions.ts'

/** Sockets of one object: 16 clusters, each with old ones that have not noticed their end. */
const SOCKETS_MAX = 64
/** Close code for a refusal: policy violation. */
const CLOSE_REFUSED = 1008

/** What a socket remembers over an eviction. */
interface Attachment {
  readonly connection: string
  readonly cluster: string
}

export interface DirectoryBindings {
  /** One ledger a tenant, an `OutcomeSink` among other things. */
  readonly TENANT_LEDGER: DurableObjectNamespace
}

export class CacheDirectory extends DurableObject<DirectoryBindings> implements DirectoryMethods {
  /** Replaced by tests. */
  nowMs: () => number = () => Date.now()
  readonly #name: string
  readonly #directory: RegionalDirectory
  readonly #attachments = new WeakMap<WebSocket, Attachment>()

  readonly #delivery: OutcomeDelivery
  readonly #versions: ToldVersions

  constructor(state: DurableObjectState, env: DirectoryBindings) {
    super(state, env)
    this.#versions = new ToldVersions(state.storage.kv)
    this.#delivery = new OutcomeDelivery((tenant) => {
      const stub: unknown = env.TENANT_LEDGER.get(env.TENANT_LEDGER.idFromName(tenant))
      return stub as OutcomeSink
    })
    this.#name = state.id.name ?? 'directory'
    const [word = 0] = crypto.getRandomValues(new Uint32Array(1))
    this.#directory = new RegionalDirectory(this.#name, undefined, undefined, word >>> 12)
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
    const effects =
      typeof message === 'string'
        ? this.#directory.receiveText(connection, cluster, message, nowMs)
        : this.#directory.receiveFrame(connection, cluster, new Uint8Array(message), nowMs)
    for (const effect of effects) {
      if (effect.kind === 'send') this.#send(socket, connection, effect)
      else this.ctx.waitUntil(this.#deliver(socket, effect))
    }
  }

  override webSocketClose(socket: WebSocket): void {
    const attachment = this.#attachmentOf(socket)
    if (attachment) this.#directory.close(attachment.connection, attachment.cluster)
  }

  override webSocketError(socket: WebSocket): void {
    this.webSocketClose(socket)
  }

  lookup(text: string): string {
    const batch = decodeBatch(text, unitsOfText)
    if (batch === null) return ''
    return textOfUnits(this.#directory.answer(boundBatch(batch), this.nowMs(), this.#versions.all))
  }

  async models(): Promise<DirectoryModels> {
    return this.#directory.models(this.nowMs())
  }

  async inspect(): Promise<DirectoryInspection> {
    return this.#directory.inspect(this.nowMs())
  }

  async noteVersion(name: string, version: number): Promise<boolean> {
    return this.#versions.note(name, version)
  }

  /** Acknowledged only when the ledgers have it. Without room there is no answer: the agent sends it again. */
  async #deliver(socket: WebSocket, { connection, batch, outcomes }: Delivery): Promise<void> {
    const untaken = await this.#delivery.deliver(outcomes)
    if (untaken === null) return
    this.#send(socket, connection, send(connection, { type: 'outcomes-ack', batch, untaken }))
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
