/** One simulated engine as a server: HTTP, KV events, replay and the side channel of hand-offs, on ports of its own. */
import { randomBytes, randomUUID } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  engineOptionsSchema,
  type EngineFaults,
  type EngineHost,
  type EngineOptions,
  type EngineOptionsInput,
} from './engine-options.ts'
import { answerRequest } from './engine-routes.ts'
import { Engine } from './engine.ts'
import { contextTokensMax } from './engine/profile.ts'
import { KEEP_ALIVE_MS } from './http-answer.ts'
import { listen } from './http-io.ts'
import { KvPublisher } from './kv-publisher.ts'
import { LeaseKeeper } from './lease-keeper.ts'
import { ResponseStore } from './response-store.ts'
import { startTransferChannel, type TransferChannel } from './transfer-channel.ts'

export type { EngineOptions } from './engine-options.ts'

/** Counts of one engine at this moment. */
export interface EngineStats {
  readonly running: number
  readonly waiting: number
  /** Prompts that are kept for decode engines. */
  readonly leases: number
  readonly kvUsage: number
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly aborted: number
  readonly steps: number
}

/** Engine hashes as decimal strings, one for each physical copy. */
export interface EngineResidency {
  readonly gpu: string[]
  readonly cpu: string[]
}

export interface RunningEngine {
  readonly name: string
  readonly url: string
  readonly eventsEndpoint: string
  readonly replayEndpoint: string
  readonly sideChannelPort: number
  readonly faults: EngineFaults
  stats(): EngineStats
  residency(): EngineResidency
  /** As a crash: sockets are destroyed and ports closed at once. */
  kill(): void
  stop(): Promise<void>
}

/** Starts an engine; rejects when a port is taken. */
export async function startEngine(input: EngineOptionsInput): Promise<RunningEngine> {
  const server = new EngineServer(engineOptionsSchema.parse(input))
  await server.start()
  return server
}

class EngineServer implements RunningEngine, EngineHost {
  readonly options: EngineOptions
  readonly name: string
  readonly engine: Engine
  readonly contextTokensMax: number
  readonly fingerprint: string
  readonly engineId = randomUUID()
  readonly startS = Date.now() / 1000
  readonly hung = new Set<object>()
  readonly responses = new ResponseStore()
  readonly transfers: LeaseKeeper
  readonly faults: EngineFaults
  load = 0
  url = ''
  eventsEndpoint = ''
  replayEndpoint = ''
  sideChannelPort = 0
  private readonly server: Server
  private publisher: KvPublisher | null = null
  private channel: TransferChannel | null = null
  private isStopped = false

  constructor(options: EngineOptions) {
    this.options = options
    this.name = options.name
    this.contextTokensMax = contextTokensMax(options.profile)
    this.fingerprint = `vllm-${options.version}-${randomBytes(4).toString('hex')}`
    this.transfers = new LeaseKeeper(options.version)
    this.faults = { silent: false, dropEvents: () => false, delayEventsMs: () => 0, failStatus: null }
    this.engine = new Engine(options, {
      onEvents: (events) => this.publisher?.publish(events, this.faults),
      onLoaded: (sequence) => this.transfers.end(sequence.request.id),
    })
    this.server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
      response.on('error', () => undefined)
      void answerRequest(this, request, response)
    })
  }

  async start(): Promise<void> {
    const { host, port, sideChannelPort, version } = this.options
    const { leases } = this.engine.core
    try {
      this.publisher = await KvPublisher.start(this.options)
      this.channel = await startTransferChannel(host, sideChannelPort, {
        engineId: this.engineId,
        version,
        pull: (id, blocks, seed) => leases.pull(id, blocks, seed, performance.now()),
        renew: (id) => leases.renew(id, performance.now()),
        end: (id) => this.engine.endLease(id),
      })
      await listen(this.server, host, port)
    } catch (error) {
      this.kill()
      throw error
    }
    this.url = `http://${host}:${(this.server.address() as AddressInfo).port}`
    this.eventsEndpoint = this.publisher.eventsEndpoint
    this.replayEndpoint = this.publisher.replayEndpoint
    this.sideChannelPort = this.channel.port
  }

  stats(): EngineStats {
    const { core } = this.engine
    const { promptTokens, cachedTokens, finished, steps } = core.counters
    return {
      running: core.runningRequests,
      waiting: core.waitingRequests + this.hung.size,
      leases: core.leases.size,
      kvUsage: core.kvUsage,
      promptTokens,
      cachedTokens,
      aborted: finished.abort,
      steps,
    }
  }

  residency(): EngineResidency {
    const { pool, lower } = this.engine.core.space
    return { gpu: pool.residentHashes().map(String), cpu: lower.residentHashes().map(String) }
  }

  crash(): void {
    this.kill()
  }

  kill(): void {
    if (this.isStopped) return
    this.isStopped = true
    this.engine.stop()
    this.transfers.stop()
    this.publisher?.close()
    this.channel?.close()
    this.server.close()
    this.server.closeAllConnections()
  }

  async stop(): Promise<void> {
    const closed = this.server.listening ? new Promise((resolve) => this.server.once('close', resolve)) : null
    this.kill()
    await closed
  }
}
