/**
 * The route of each request: caller -> edge -> cluster -> prefill and decode engine -> first token back at the edge, with
 * failover before the first token. Measures what a caller would see.
 */
import type { BlockSequence } from '../engine/block-sequence.ts'
import type { RemoteKv } from '../engine/sequence.ts'
import { HeldTrips } from './held-trips.ts'
import { Random } from './random.ts'
import type { Outcome, SimRequest } from './request.ts'
import { legOf, newTrip, outcomeOf, type Trip } from './trip.ts'
import type { EngineListener } from './virtual-engine.ts'
import { World, type WorldOptions } from './world.ts'

/** Clusters tried for one request, as a tenant's policy has it by default. */
const ATTEMPTS_MAX = 3

export interface RunOptions extends WorldOptions {
  /** By arrival, stage after stage. */
  readonly requests: readonly SimRequest[]
  /** A stage starts when the one before it has drained. */
  readonly drainsStages: boolean
  /** No request is sent or followed beyond this; what is under way then counts as lost. */
  readonly horizonMs: number
  readonly onOutcome: (outcome: Outcome) => void
}

export class Route implements EngineListener {
  readonly world: World
  private readonly options: RunOptions
  private readonly isolates: Random
  private readonly stalls: Random
  private readonly trips = new Map<number, Trip>()
  private readonly held: HeldTrips
  private next = 0
  private stageStartMs = 0
  private legs = 0

  constructor(options: RunOptions) {
    this.options = options
    this.world = new World(options, this)
    this.isolates = new Random(options.seed).fork('isolates')
    this.stalls = new Random(options.seed).fork('stalls')
    this.held = new HeldTrips(this.world.clock, options.shape.clusters.length, {
      dispatch: (trip) => this.dispatch(trip),
      enter: (trip) => this.enter(trip),
    })
  }

  run(): void {
    const { world } = this
    const { clock } = world
    const isOver = () => this.next >= this.options.requests.length && this.trips.size === 0
    for (const { cluster, fromMs, untilMs } of this.options.shape.outages) {
      clock.at(fromMs, () => this.fail(cluster))
      clock.at(untilMs, () => world.setDown(cluster, false))
    }
    world.startReadings(isOver)
    this.planArrival()
    clock.run(() => isOver() || clock.nowMs > this.options.horizonMs)
    for (const trip of this.trips.values()) this.end(trip, trip.firstMs > 0 ? 'broken' : 'lost')
  }

  onFirstToken(sequence: BlockSequence): void {
    const trip = this.tripOf(sequence)
    if (!trip?.placement || trip.leg !== sequence) return
    trip.firstMs = this.world.nowMs()
    const { request, placement } = trip
    this.world.endpoint.firstToken?.(request, placement)
    this.world.region.firstToken?.(request, trip.cluster, placement.prefill)
    this.held.retry()
  }

  onFinish(sequence: BlockSequence): void {
    const trip = this.tripOf(sequence)
    if (!trip?.placement) return
    if (trip.leg === null && trip.prefillLeg === sequence) {
      const leg = this.submit(trip, trip.placement.decode, false, { cachedTokens: sequence.cachedTokens })
      if (leg === null) this.failover(trip)
      else trip.leg = leg
      return
    }
    const { request, placement } = trip
    this.world.endpoint.finished?.(request, placement)
    this.world.region.finished?.(request, trip.cluster, placement.prefill)
    this.end(trip, 'served')
    this.held.retry()
  }

  onPulled(sequence: BlockSequence): void {
    const { placement, prefillLeg } = this.tripOf(sequence) ?? {}
    if (placement && prefillLeg) this.world.engine(placement.prefill).endLease(prefillLeg.request.id)
  }

  private tripOf({ request }: BlockSequence): Trip | undefined {
    return this.trips.get(request.number)
  }

  private planArrival(): void {
    const request = this.options.requests[this.next]
    if (!request) return
    this.world.clock.at(this.stageStartMs + request.arrivalMs, () => this.arrive(request))
  }

  private arrive(request: SimRequest): void {
    this.next++
    const following = this.options.requests[this.next]
    if (following?.stage === request.stage || !this.options.drainsStages) this.planArrival()
    const isolate = this.isolates.int(this.options.shape.isolates)
    const trip = newTrip(request, this.world.nowMs(), isolate)
    this.trips.set(request.number, trip)
    this.dispatch(trip)
  }

  /** At the edge: pick a cluster and set out, or hold. */
  private dispatch(trip: Trip): void {
    const { world } = this
    const { request, isolate } = trip
    const breaker = world.breakers[request.region]?.[isolate]
    const nowMs = world.nowMs()
    const choice = world.region.choose(
      request,
      isolate,
      (cluster) => breaker?.isOpen(String(cluster), nowMs) ?? false,
    )
    if (choice === null) {
      this.held.holdAtEdge(trip)
      return
    }
    const cluster = choice.clusters.find((candidate) => !trip.tried.has(candidate))
    if (cluster === undefined || trip.attempts >= ATTEMPTS_MAX) {
      this.end(trip, 'lost')
      return
    }
    trip.attempts++
    trip.choice = choice
    trip.cluster = cluster
    if (trip.attempts === 1) trip.predictedMs = choice.predictedMs
    breaker?.begin(String(cluster), nowMs)
    world.region.sent?.(request, isolate, choice, cluster)
    world.clock.at(nowMs + choice.detourMs + world.oneWayMs(request.region, cluster), () => {
      if (this.trips.get(request.number) !== trip) return
      if (world.isDown(cluster)) this.refuse(trip)
      else this.enter(trip)
    })
  }

  /** In the cluster: pick engines, or hold. */
  private enter(trip: Trip): void {
    const { request, choice, cluster } = trip
    if (trip.arrivedMs === 0) trip.arrivedMs = this.world.nowMs()
    const fixed = choice?.endpoint ?? null
    const elsewhereMs = trip.attempts === 1 ? (choice?.elsewhereMs ?? Infinity) : Infinity
    const placement =
      fixed !== null && trip.attempts === 1
        ? { prefill: fixed, decode: fixed, predictedMs: null, workMs: 0 }
        : this.world.endpoint.choose(request, cluster, elsewhereMs)
    if (placement === null) {
      this.held.holdInCluster(trip)
      return
    }
    if ((placement.predictedMs ?? 0) > elsewhereMs) {
      this.redirect(trip)
      return
    }
    trip.placement = placement
    trip.warmth = this.world.warmth(request.blocks, placement.prefill)
    this.world.endpoint.sent?.(request, placement)
    if (placement.prefill === placement.decode) {
      const pulled = this.world.pulled(request.blocks, placement)
      trip.leg = this.submit(trip, placement.prefill, false, pulled)
    } else {
      trip.prefillLeg = this.submit(trip, placement.prefill, true, null)
    }
    if (trip.leg === null && trip.prefillLeg === null) this.failover(trip)
  }

  private submit({ request }: Trip, endpoint: number, isProducer: boolean, remote: RemoteKv | null) {
    const { stalls } = this.options.shape
    const order = legOf(request, `${request.number}.${this.legs++}`, isProducer, remote)
    const stallMs = stalls.share > 0 && this.stalls.next() < stalls.share ? stalls.ms : 0
    const adapterMs = this.world.adapters.use(endpoint, request.adapter, this.world.nowMs())
    return this.world.engine(endpoint).submit(order, adapterMs, stallMs)
  }

  /** The cluster answers nobody: the edge hears of it a way later. */
  private refuse(trip: Trip): void {
    const { request, cluster } = trip
    this.world.clock.at(this.world.nowMs() + this.world.oneWayMs(request.region, cluster), () => {
      const breaker = this.world.breakers[request.region]?.[trip.isolate]
      breaker?.fail(String(cluster), this.world.nowMs())
      this.failover(trip)
    })
  }

  /** The agent knows that another cluster is the better choice: the edge hears of it a way later. */
  private redirect(trip: Trip): void {
    const { request, cluster, isolate } = trip
    const { world } = this
    trip.arrivedMs = 0
    trip.redirectedBy = cluster
    world.clock.at(world.nowMs() + world.oneWayMs(request.region, cluster), () => {
      world.breakers[request.region]?.[isolate]?.abandon(String(cluster))
      world.region.redirected?.(request, isolate, cluster)
      this.failover(trip)
    })
  }

  private failover(trip: Trip): void {
    if (trip.firstMs > 0) {
      this.end(trip, 'broken')
      return
    }
    trip.tried.add(trip.cluster)
    if (trip.cluster !== trip.redirectedBy) trip.tried.delete(trip.redirectedBy)
    trip.placement = null
    trip.leg = null
    trip.prefillLeg = null
    trip.arrivedMs = 0
    this.dispatch(trip)
  }

  /** A cluster dies with everything in it. */
  private fail(cluster: number): void {
    this.world.setDown(cluster, true)
    this.held.drop(cluster)
    for (const trip of this.trips.values()) {
      if (trip.cluster !== cluster || trip.arrivedMs === 0) continue
      if (trip.placement) this.world.endpoint.finished?.(trip.request, trip.placement)
      this.refuse(trip)
    }
  }

  private end(trip: Trip, state: Outcome['state']): void {
    const { request, cluster } = trip
    this.trips.delete(request.number)
    const nowMs = this.world.nowMs()
    const backMs = cluster < 0 ? 0 : this.world.oneWayMs(request.region, cluster)
    const breaker = this.world.breakers[request.region]?.[trip.isolate]
    if (state === 'served') breaker?.succeed(String(cluster))
    this.options.onOutcome(outcomeOf(trip, state, nowMs, backMs))
    if (this.trips.size > 0 || !this.options.drainsStages) return
    const following = this.options.requests[this.next]
    if (!following || following.stage === this.options.requests[this.next - 1]?.stage) return
    this.stageStartMs = nowMs
    this.planArrival()
  }
}
