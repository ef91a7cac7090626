/** llm-d's endpoint picker: a weighted sum of scores in [0, 1], with an index guessed from routing or fed by events. */
import type { SimRequest } from '../world/request.ts'
import { PeerPolicy } from './endpoint-base.ts'
import { pickHighest, pickLowest } from './ranking.ts'
import { RoutedPrefixes } from './routed-prefixes.ts'
import type { Placement, PolicyWorld } from './policy.ts'

export interface LlmdWeights {
  readonly prefix: number
  readonly kv: number
  readonly queue: number
}

export const LLMD_ESTIMATED: LlmdWeights = { prefix: 1, kv: 1, queue: 1 }
export const LLMD_PRECISE: LlmdWeights = { prefix: 3, kv: 2, queue: 2 }
export const LLMD_LOAD: LlmdWeights = { prefix: 0, kv: 1, queue: 1 }

/** gpu, cpu, disk, remote; unknown ones count as the GPU. */
const TIER_WEIGHTS = [1, 0.8, 1, 1]
const BLOCK_TOKENS = 64
const PROMPT_BLOCKS_MAX = 256
const LRU_BLOCKS = 31_250
/** The affinity filter's defaults. */
const AFFINITY_SHARE = 0.8
const PEAK_TOKENS_PER_S = 15_928
const PENALTY_S_MAX = 18

export class LlmdPicker extends PeerPolicy {
  private readonly weights: LlmdWeights
  protected readonly routed: RoutedPrefixes | null

  /** `estimated`: the index guesses from what was routed. */
  constructor(world: PolicyWorld, weights: LlmdWeights, isEstimated: boolean) {
    super(world)
    this.weights = weights
    const endpoints = world.clusterOf.length
    this.routed = isEstimated
      ? new RoutedPrefixes(
          endpoints,
          world.blockTokens,
          LRU_BLOCKS * BLOCK_TOKENS,
          PROMPT_BLOCKS_MAX * BLOCK_TOKENS,
        )
      : null
  }

  protected override hitTokens(request: SimRequest, endpoint: number): number {
    return this.routed?.matchTokens(request, endpoint) ?? this.indexedTokens(request, endpoint, TIER_WEIGHTS)
  }

  protected override pick(request: SimRequest, endpoints: readonly number[]): number {
    const queues = endpoints.map((endpoint) => this.world.reading(endpoint).waiting)
    const most = Math.max(...queues)
    const least = Math.min(...queues)
    const { prefix, kv, queue } = this.weights
    return pickHighest(
      endpoints,
      (endpoint) => {
        const { waiting, kvUsage } = this.world.reading(endpoint)
        const queueScore = most === least ? 1 : (most - waiting) / (most - least)
        const hitShare = prefix === 0 ? 0 : this.hitTokens(request, endpoint) / request.promptTokens
        return prefix * hitShare + kv * (1 - kvUsage) + queue * queueScore
      },
      this.world.random.next,
    )
  }

  override sent(request: SimRequest, placement: Placement): void {
    super.sent(request, placement)
    this.routed?.insert(request, placement.prefill)
  }
}

/** Keeps to endpoints that hold the prefix unless their predicted penalty is too large; then load. */
export class LlmdAffinity extends PeerPolicy {
  protected override pick(request: SimRequest, endpoints: readonly number[]): number {
    const least = Math.min(...endpoints.map((endpoint) => this.inFlight.newTokens(endpoint)))
    const warm = endpoints.filter(
      (endpoint) => this.hitTokens(request, endpoint) / request.promptTokens >= AFFINITY_SHARE,
    )
    const fast = warm.filter(
      (endpoint) => (this.inFlight.newTokens(endpoint) - least) / PEAK_TOKENS_PER_S <= PENALTY_S_MAX,
    )
    return pickLowest(
      fast.length > 0 ? fast : endpoints,
      (endpoint) => this.inFlight.newTokens(endpoint) + this.inFlight.of(endpoint),
      this.world.random.next,
    )
  }
}
