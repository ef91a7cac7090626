/**
 * A run in virtual time: callers, edges, clusters and their engines. The route of a request is in `route.ts`; here is
 * what exists and what it knows of itself.
 */
import { Breaker } from '../../worker/memory/breaker.ts'
import { TIERS } from '../../core/tiers.ts'
import type { RemoteKv } from '../engine/sequence.ts'
import type { EngineReading, Heartbeat, Placement, Policy, PolicyWorld } from '../policies/policy.ts'
import { Adapters } from './adapters.ts'
import { Clock } from './clock.ts'
import { Random } from './random.ts'
import type { Warmth } from './request.ts'
import { EngineResidency, ENDPOINTS_MAX, ResidencyLog, ResidencyView, TIER_COUNT } from './residency.ts'
import type { WorldShape } from './shape.ts'
import { VirtualEngine, type EngineListener } from './virtual-engine.ts'

/** Heartbeats that are kept of a cluster: a view behind by more than these hears none. */
const HEARTBEATS_MAX = 600

export interface WorldOptions {
  readonly shape: WorldShape
  readonly policy: Policy
  readonly seed: number
  /** Block numbers of the run are below this. */
  readonly blockCount: number
  readonly blockTokens: number
}

export class World implements PolicyWorld {
  readonly shape: WorldShape
  readonly clock = new Clock()
  readonly random: Random
  readonly engines: readonly VirtualEngine[]
  readonly endpointsOf: readonly (readonly number[])[]
  readonly clusterOf: readonly number[]
  readonly blockTokens: number
  readonly clusterView: ResidencyView
  readonly trueView: ResidencyView
  readonly region
  readonly endpoint
  readonly adapters: Adapters
  /** By region and isolate. */
  readonly breakers: readonly (readonly Breaker[])[]
  private readonly regionViews: readonly ResidencyView[]
  private readonly readings: EngineReading[]
  private readonly heartbeats: Omit<Heartbeat, 'heardMs'>[][]
  private readonly dead = new Set<number>()
  private readonly matched = new Int32Array(ENDPOINTS_MAX * TIER_COUNT)

  constructor({ shape, policy, seed, blockCount, blockTokens }: WorldOptions, listener: EngineListener) {
    this.shape = shape
    this.random = new Random(seed).fork('policy')
    this.blockTokens = blockTokens
    const { delays } = shape
    const logs = shape.clusters.map(() => new ResidencyLog())
    const endpoints = shape.clusters.flatMap(({ endpoints: list }, cluster) =>
      list.map((endpoint) => ({ ...endpoint, cluster })),
    )
    if (endpoints.length > ENDPOINTS_MAX)
      throw new RangeError(`at most ${ENDPOINTS_MAX} endpoints in a world`)
    this.clusterOf = endpoints.map(({ cluster }) => cluster)
    this.endpointsOf = shape.clusters.map((_, cluster) =>
      endpoints.flatMap((endpoint, number) => (endpoint.cluster === cluster ? [number] : [])),
    )
    const losses = new Random(seed).fork('loss')
    const isLost = () => delays.lossShare > 0 && losses.next() < delays.lossShare
    const view = (delayMs: (cluster: number) => number, hears: () => boolean, batchMs = 0) =>
      new ResidencyView(
        logs.map((log, cluster) => ({ log, delayMs: delayMs(cluster), batchMs })),
        blockCount,
        hears,
      )
    this.clusterView = view(() => delays.eventsMs, isLost)
    this.trueView = view(
      () => 0,
      () => false,
    )
    this.regionViews = shape.regions.map((_, region) =>
      view(
        (cluster) => delays.eventsMs + delays.reportMs + this.oneWayMs(region, cluster),
        isLost,
        delays.batchMs,
      ),
    )
    const now = () => this.clock.nowMs
    this.engines = endpoints.map(({ profile, cluster }, number) => {
      const log = new EngineResidency(logs[cluster] ?? new ResidencyLog(), number, now)
      return new VirtualEngine(profile, this.clock, log, listener)
    })
    this.adapters = new Adapters(endpoints.length, shape.adapters)
    this.readings = this.engines.map(() => ({ running: 0, waiting: 0, kvUsage: 0 }))
    this.heartbeats = shape.clusters.map(() => [])
    this.breakers = shape.regions.map(() => Array.from({ length: shape.isolates }, () => new Breaker()))
    this.region = policy.region(this)
    this.endpoint = policy.endpoint(this)
  }

  nowMs(): number {
    return this.clock.nowMs
  }

  oneWayMs(region: number, cluster: number): number {
    const target = this.shape.clusters[cluster]?.region ?? 0
    return (this.shape.rttMs[region]?.[target] ?? 0) / 2
  }

  regionView(region: number): ResidencyView {
    const view = this.regionViews[region]
    if (!view) throw new RangeError(`no region ${region}`)
    view.advance(this.clock.nowMs)
    return view
  }

  engine(endpoint: number): VirtualEngine {
    const engine = this.engines[endpoint]
    if (!engine) throw new RangeError(`no endpoint ${endpoint}`)
    return engine
  }

  reading(endpoint: number): EngineReading {
    return this.readings[endpoint] ?? { running: 0, waiting: 0, kvUsage: 0 }
  }

  trueReading(endpoint: number): EngineReading {
    const { scheduler } = this.engine(endpoint)
    const { runningRequests, waitingRequests, kvUsage } = scheduler
    return { running: runningRequests, waiting: waitingRequests, kvUsage }
  }

  isHealthy(endpoint: number): boolean {
    return !this.engine(endpoint).isDead
  }

  isDown(cluster: number): boolean {
    return this.dead.has(cluster)
  }

  setDown(cluster: number, isDown: boolean): void {
    if (isDown) this.dead.add(cluster)
    else this.dead.delete(cluster)
    for (const endpoint of this.endpointsOf[cluster] ?? []) {
      this.adapters.clear(endpoint)
      if (isDown) this.engine(endpoint).kill()
      else this.engine(endpoint).revive()
    }
  }

  /** What engines truly hold of a prompt now: the chosen one, and the one that holds most. */
  warmth(blocks: Int32Array, endpoint: number): Warmth {
    const { trueView, matched } = this
    trueView.advance(this.clock.nowMs)
    trueView.match(blocks, blocks.length, (2 ** this.engines.length - 1) >>> 0, matched)
    let longestBlocks = 0
    let heldBlocks = 0
    for (let i = 0; i < this.engines.length; i++) {
      let held = 0
      for (let tier = 0; tier < TIER_COUNT; tier++) held += matched[i * TIER_COUNT + tier] ?? 0
      if (i === endpoint) heldBlocks = held
      longestBlocks = Math.max(longestBlocks, held)
    }
    return { heldBlocks, longestBlocks }
  }

  /** What is truly there of a prefix that a policy wants to pull; null: nothing, so that it is computed. */
  pulled(blocks: Int32Array, { pull }: Placement): RemoteKv | null {
    if (!pull || !this.isHealthy(pull.source)) return null
    const { trueView, blockTokens } = this
    trueView.advance(this.clock.nowMs)
    const limit = Math.floor(pull.tokens / blockTokens)
    const held = trueView.prefixOn(TIERS[1].number, blocks, limit, 2 ** pull.source)
    const tokens = (held[pull.source] ?? 0) * blockTokens
    return tokens > 0 ? { cachedTokens: tokens, tokens } : null
  }

  heartbeat(cluster: number, region: number): Heartbeat | null {
    const list = this.heartbeats[cluster] ?? []
    const { delays } = this.shape
    const wayMs = delays.reportMs + this.oneWayMs(region, cluster)
    for (let i = list.length - 1; i >= 0; i--) {
      const beat = list[i]
      if (beat && beat.sentMs + wayMs <= this.clock.nowMs) return { ...beat, heardMs: beat.sentMs + wayMs }
    }
    return null
  }

  /** Reads every engine, again and again while `isOver` is false. */
  startReadings(isOver: () => boolean): void {
    const { pollMs, heartbeatMs } = this.shape.delays
    const every = (ms: number, run: () => void) => {
      const tick = () => {
        if (isOver()) return
        run()
        this.clock.at(this.clock.nowMs + ms, tick)
      }
      tick()
    }
    every(pollMs, () => {
      for (let i = 0; i < this.engines.length; i++) this.readings[i] = this.trueReading(i)
    })
    if (!this.endpoint.heartbeat) return
    every(heartbeatMs, () => {
      for (const [cluster, list] of this.heartbeats.entries()) {
        if (this.dead.has(cluster)) continue
        const beat = this.endpoint.heartbeat?.(cluster)
        if (beat) list.push(beat)
        if (list.length > HEARTBEATS_MAX) list.splice(0, HEARTBEATS_MAX / 2)
      }
    })
  }
}
