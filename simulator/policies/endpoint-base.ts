/** What endpoint policies of peers share: healthy candidates, matches in the cluster's index, their own requests. */
import type { SimRequest } from '../world/request.ts'
import { ENDPOINTS_MAX, TIER_COUNT } from '../world/residency.ts'
import { InFlight } from './in-flight.ts'
import type { EndpointPolicy, Placement, PolicyWorld } from './policy.ts'

/** A policy that serves prompt and answer on one endpoint; where roles are split it picks the prefill endpoint. */
export abstract class PeerPolicy implements EndpointPolicy {
  protected readonly world: PolicyWorld
  protected readonly inFlight = new InFlight()
  private readonly runs = new Int32Array(ENDPOINTS_MAX * TIER_COUNT)
  private newTokens = 0

  constructor(world: PolicyWorld) {
    this.world = world
  }

  protected abstract pick(request: SimRequest, endpoints: readonly number[]): number

  /** Prompt tokens that the policy thinks are cached there. */
  protected hitTokens(request: SimRequest, endpoint: number): number {
    return this.indexedTokens(request, endpoint, [1, 1, 1, 1])
  }

  /** Roles: prompts go to those that prefill, and answers of a pure prefill endpoint to the least loaded decoder. */
  choose(request: SimRequest, cluster: number): Placement | null {
    const { shape, endpointsOf } = this.world
    const numbers = (endpointsOf[cluster] ?? []).filter((number) => this.world.isHealthy(number))
    const roles = new Map(
      (endpointsOf[cluster] ?? []).map((number, i) => [number, shape.clusters[cluster]?.endpoints[i]?.role]),
    )
    const prefillers = numbers.filter((number) => roles.get(number) !== 'decode')
    const candidates = prefillers.length > 0 ? prefillers : numbers
    if (candidates.length === 0) return null
    const prefill = this.pick(request, candidates)
    if (prefill < 0) return null
    const decoders = numbers.filter((number) => roles.get(number) === 'decode')
    const decode = roles.get(prefill) === 'prefill' && decoders.length > 0 ? this.leastOf(decoders) : prefill
    this.newTokens = request.promptTokens - Math.min(this.hitTokens(request, prefill), request.promptTokens)
    return { prefill, decode, predictedMs: null, workMs: 0 }
  }

  sent(request: SimRequest, { prefill, decode }: Placement): void {
    this.inFlight.sent(request, prefill, this.newTokens)
    if (decode !== prefill) this.decoding.sent(request, decode, 0)
  }

  firstToken(request: SimRequest, placement: Placement): void {
    this.inFlight.firstToken(request)
    if (placement.decode !== placement.prefill) this.inFlight.finished(request)
  }

  finished(request: SimRequest): void {
    this.inFlight.finished(request)
    this.decoding.finished(request)
  }

  private readonly decoding = new InFlight()

  private leastOf(endpoints: readonly number[]): number {
    let best = -1
    for (const endpoint of endpoints) {
      if (best < 0 || this.decoding.of(endpoint) < this.decoding.of(best)) best = endpoint
    }
    return best
  }

  /** Tokens that the cluster's index knows at the endpoint, each counted with its tier's weight. */
  protected indexedTokens(request: SimRequest, endpoint: number, tierWeights: readonly number[]): number {
    const { world, runs } = this
    const limit = Math.floor(request.promptTokens / world.blockTokens)
    world.clusterView.advance(world.nowMs())
    world.clusterView.match(request.blocks, limit, (1 << endpoint) >>> 0, runs)
    let tokens = 0
    for (let tier = 0; tier < TIER_COUNT; tier++) {
      const blocks = runs[endpoint * TIER_COUNT + tier] ?? 0
      tokens += blocks * world.blockTokens * (tierWeights[tier] ?? 0)
    }
    return tokens
  }
}
