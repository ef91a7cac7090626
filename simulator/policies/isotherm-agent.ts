/**
 * The cluster agent's choice as production makes it: its bookings, its speculative entries and `selectPair`, fed with the
 * residency that its index would know.
 */
import type { MatchRun } from '../../cluster-agent/blocks/residency.ts'
import { Bookings } from '../../cluster-agent/routing/bookings.ts'
import type { Endpoint, EndpointProfile } from '../../cluster-agent/routing/endpoint.ts'
import {
  predictedMs,
  selectPair,
  type Candidate,
  type RequestSize,
} from '../../cluster-agent/routing/select.ts'
import { Speculation } from '../../cluster-agent/routing/speculation.ts'
import { TIERS } from '../../core/tiers.ts'
import { lowerTiersOf } from '../engine/lower-tiers.ts'
import type { EngineProfile } from '../engine/profile.ts'
import type { SimRequest } from '../world/request.ts'
import { ENDPOINTS_MAX, TIER_COUNT } from '../world/residency.ts'
import { BYTES_PER_TOKEN, markersOf } from './markers.ts'
import type { EndpointPolicy, Heartbeat, Placement, PolicyWorld } from './policy.ts'

/** Weight of one hand-off in the estimate that the directories get, as in cluster-agent/cluster.ts. */
const HANDOFF_WEIGHT = 0.05

export class IsothermAgent implements EndpointPolicy {
  private readonly world: PolicyWorld
  private readonly endpoints: readonly Endpoint[]
  /** By cluster. */
  private readonly bookings: readonly Bookings[]
  private readonly speculations: readonly Speculation[]
  private readonly handoffsMs: number[]
  private readonly runs = new Int32Array(ENDPOINTS_MAX * TIER_COUNT)

  constructor(world: PolicyWorld) {
    this.world = world
    const shapes = world.shape.clusters.flatMap(({ endpoints }) => endpoints)
    this.endpoints = shapes.map(({ role, profile }, number) => ({
      number: this.indexOf(number),
      name: `e${number}`,
      role,
      version: null,
      profile: agentProfile(profile),
    }))
    this.bookings = world.shape.clusters.map(
      ({ endpoints }) => new Bookings(endpoints.map(({ profile }) => profile.kvTokens)),
    )
    this.speculations = world.shape.clusters.map(() => new Speculation())
    this.handoffsMs = world.shape.clusters.map(() => 0)
  }

  choose(request: SimRequest, cluster: number): Placement | null {
    const { world } = this
    const numbers = world.endpointsOf[cluster] ?? []
    const { size, candidates } = this.price(request, cluster)
    const [best] = selectPair(candidates, size).ranked
    if (!best) return null
    const pair = best.candidate
    return {
      prefill: numbers[pair.prefill.endpoint.number] ?? -1,
      decode: numbers[pair.decode.endpoint.number] ?? -1,
      predictedMs: predictedMs(pair),
      workMs: pair.loadMs + pair.prefillMs,
    }
  }

  /** The price of the best pair, shadow included. */
  lowestCostMs(request: SimRequest, cluster: number): number {
    const { size, candidates } = this.price(request, cluster)
    return selectPair(candidates, size).ranked[0]?.costMs ?? Infinity
  }

  /** Load and prefill of the request at one endpoint. */
  workMs(request: SimRequest, endpoint: number): number {
    const cluster = this.world.clusterOf[endpoint] ?? 0
    const { size, candidates } = this.price(request, cluster)
    const own = candidates.filter(({ endpoint: { number } }) => number === this.indexOf(endpoint))
    const [best] = selectPair(own, size).ranked
    return best ? best.candidate.loadMs + best.candidate.prefillMs : 0
  }

  sent(request: SimRequest, { prefill, decode, workMs, predictedMs: totalMs }: Placement): void {
    const cluster = this.world.clusterOf[prefill] ?? 0
    const bookings = this.bookings[cluster]
    const nowMs = this.world.nowMs()
    const id = String(request.number)
    const tokens = request.promptTokens + request.outputTokens
    bookings?.bookPrefill(this.indexOf(prefill), id, workMs, prefill === decode ? 0 : tokens, nowMs)
    bookings?.bookDecode(this.indexOf(decode), id, tokens, nowMs)
    this.speculations[cluster]?.note(this.indexOf(prefill), markersOf(request, this.world.blockTokens), nowMs)
    const handoffMs = prefill === decode ? 0 : Math.max((totalMs ?? 0) - workMs, 0)
    const beforeMs = this.handoffsMs[cluster] ?? 0
    this.handoffsMs[cluster] = beforeMs + (handoffMs - beforeMs) * HANDOFF_WEIGHT
  }

  firstToken(request: SimRequest, { prefill }: Placement): void {
    const cluster = this.world.clusterOf[prefill] ?? 0
    const nowMs = this.world.nowMs()
    this.bookings[cluster]?.releasePrefill(this.indexOf(prefill), String(request.number), nowMs)
  }

  finished(request: SimRequest, placement: Placement): void {
    this.firstToken(request, placement)
    const cluster = this.world.clusterOf[placement.decode] ?? 0
    this.bookings[cluster]?.releaseDecode(this.indexOf(placement.decode), String(request.number))
  }

  /** As cluster-agent/cluster.ts tells the directories. */
  heartbeat(cluster: number): Omit<Heartbeat, 'heardMs'> {
    const nowMs = this.world.nowMs()
    const loads = (this.world.endpointsOf[cluster] ?? [])
      .filter((number) => this.world.isHealthy(number))
      .flatMap((number) => this.bookings[cluster]?.load(this.indexOf(number), nowMs) ?? [])
      .toSorted((a, b) => a.backlogMs - b.backlogMs)
    return {
      sentMs: nowMs,
      backlogsMs: loads.map(({ backlogMs }) => backlogMs),
      kvPressure: loads[0]?.kvPressure ?? 0,
      handoffMs: this.handoffsMs[cluster] ?? 0,
      endpoints: loads.length,
    }
  }

  private price(request: SimRequest, cluster: number): { size: RequestSize; candidates: Candidate[] } {
    const { world, runs } = this
    const { blockTokens, shape } = world
    const nowMs = world.nowMs()
    const numbers = world.endpointsOf[cluster] ?? []
    let mask = 0
    for (const number of numbers) mask |= 1 << number
    const limit = Math.floor(request.promptTokens / blockTokens)
    world.clusterView.advance(nowMs)
    world.clusterView.match(request.blocks, limit, mask >>> 0, runs)
    const guesses = this.speculations[cluster]?.match(markersOf(request, blockTokens), nowMs)
    const size: RequestSize = {
      promptTokens: request.promptTokens,
      outputTokensMax: request.outputTokens,
      kvBytesPerToken: shape.kvBytesPerToken,
      blockTokens,
      isSplittable: true,
    }
    const candidates = numbers.flatMap((number): Candidate[] => {
      const endpoint = this.endpoints[number]
      const load = this.bookings[cluster]?.load(this.indexOf(number), nowMs)
      if (!endpoint || !load) return []
      return [
        {
          endpoint,
          load,
          runs: runsOf(runs, number),
          speculativeTokens: (guesses?.get(endpoint.number) ?? 0) / BYTES_PER_TOKEN,
          unavailable: world.isHealthy(number) ? null : 'dead',
        },
      ]
    })
    return { size, candidates }
  }

  private indexOf(number: number): number {
    return (this.world.endpointsOf[this.world.clusterOf[number] ?? 0] ?? []).indexOf(number)
  }
}

/** The runs of endpoint `number` in the result of a match, as production has them. */
export function runsOf(runs: Int32Array, number: number): MatchRun[] {
  const found: MatchRun[] = []
  for (let tier = 0; tier < TIER_COUNT; tier++) {
    const blocks = runs[number * TIER_COUNT + tier] ?? 0
    if (blocks > 0) found.push({ tier: tier + 1, blocks })
  }
  return found
}

/** What an agent that is calibrated to the engine believes of it. */
export function agentProfile(profile: EngineProfile): EndpointProfile {
  const lower = lowerTiersOf(profile).map(
    ({ number, cost }) => [TIERS[number - 1]?.name ?? '', cost] as const,
  )
  return {
    prefill: profile.prefill,
    decodeStepMs: profile.decode.stepMs,
    decodeMsPerSequence: profile.decode.msPerSequence,
    batchTokensMax: profile.batchTokensMax,
    kvTokens: profile.kvTokens,
    tiers: Object.fromEntries(lower),
    transfer: profile.transfer,
  }
}
