/** SGLang's cache-aware rule: least load when out of balance, else the longest match, else the smallest tree. */
import type { SimRequest } from '../world/request.ts'
import { PeerPolicy } from './endpoint-base.ts'
import { pickHighest, pickLowest } from './ranking.ts'
import { RoutedPrefixes } from './routed-prefixes.ts'
import type { Placement, PolicyWorld } from './policy.ts'

const BALANCE_ABS = 64
const BALANCE_REL = 1.5
const MATCH_SHARE_MIN = 0.3
/** The tree's bound, 2^24 characters, in tokens of four. */
const TREE_TOKENS_MAX = 2 ** 22

export class SglangCacheAware extends PeerPolicy {
  private readonly tree: RoutedPrefixes

  constructor(world: PolicyWorld) {
    super(world)
    this.tree = new RoutedPrefixes(world.clusterOf.length, world.blockTokens, TREE_TOKENS_MAX)
  }

  protected override hitTokens(request: SimRequest, endpoint: number): number {
    return this.tree.matchTokens(request, endpoint)
  }

  protected override pick(request: SimRequest, endpoints: readonly number[]): number {
    const { random } = this.world
    const loadOf = (endpoint: number) => this.inFlight.of(endpoint)
    const loads = endpoints.map(loadOf)
    const most = Math.max(...loads)
    const least = Math.min(...loads)
    if (most - least > BALANCE_ABS && most > BALANCE_REL * least)
      return pickLowest(endpoints, loadOf, random.next)
    const best = pickHighest(endpoints, (endpoint) => this.hitTokens(request, endpoint), random.next)
    if (this.hitTokens(request, best) / request.promptTokens > MATCH_SHARE_MIN) return best
    return pickLowest(endpoints, (endpoint) => this.tree.size(endpoint), random.next)
  }

  override sent(request: SimRequest, placement: Placement): void {
    super.sent(request, placement)
    this.tree.insert(request, placement.prefill)
  }
}
