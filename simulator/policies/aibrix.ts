/** AIBrix's prefix cache rule: the longest match among endpoints that are not far above the mean load. */
import type { SimRequest } from '../world/request.ts'
import { PeerPolicy } from './endpoint-base.ts'
import { pickHighest, pickLowest } from './ranking.ts'
import { RoutedPrefixes } from './routed-prefixes.ts'
import type { Placement, PolicyWorld } from './policy.ts'

const SPREAD_MAX = 16
const DEVIATIONS_MAX = 2
/** 200,000 blocks of 128 characters, in tokens of four. */
const INDEX_TOKENS_MAX = 200_000 * 32

export class AibrixPrefix extends PeerPolicy {
  private readonly index: RoutedPrefixes

  constructor(world: PolicyWorld) {
    super(world)
    this.index = new RoutedPrefixes(world.clusterOf.length, world.blockTokens, INDEX_TOKENS_MAX)
  }

  protected override hitTokens(request: SimRequest, endpoint: number): number {
    return this.index.matchTokens(request, endpoint)
  }

  protected override pick(request: SimRequest, endpoints: readonly number[]): number {
    const { random } = this.world
    const loadOf = (endpoint: number) => this.inFlight.of(endpoint)
    const loads = endpoints.map(loadOf)
    const mean = loads.reduce((sum, load) => sum + load, 0) / loads.length
    const variance = loads.reduce((sum, load) => sum + (load - mean) ** 2, 0) / loads.length
    const spread = Math.max(...loads) - Math.min(...loads)
    const bound = mean + DEVIATIONS_MAX * Math.sqrt(variance)
    const calm = spread > SPREAD_MAX ? [] : endpoints.filter((endpoint) => loadOf(endpoint) <= bound)
    const warm = calm.filter((endpoint) => this.hitTokens(request, endpoint) > 0)
    if (warm.length === 0) return pickLowest(endpoints, loadOf, random.next)
    return pickHighest(warm, (endpoint) => this.hitTokens(request, endpoint), random.next)
  }

  override sent(request: SimRequest, placement: Placement): void {
    super.sent(request, placement)
    this.index.insert(request, placement.prefill)
  }
}
