/** llm-d's hub (alpha): clusters by guessed prefix share, mean queue and mean KV use; distance does not count. */
import type { SimRequest } from '../world/request.ts'
import { plainChoice } from './region-rules.ts'
import { RoutedPrefixes } from './routed-prefixes.ts'
import type { PolicyWorld, RegionChoice, RegionPolicy } from './policy.ts'

const WEIGHTS = { prefix: 3, queue: 2, kv: 2 }
const LRU_TOKENS_PER_ENDPOINT = 31_250 * 64

export class LlmdHub implements RegionPolicy {
  private readonly world: PolicyWorld
  private readonly routed: RoutedPrefixes

  constructor(world: PolicyWorld) {
    this.world = world
    const endpoints = Math.max(...world.endpointsOf.map(({ length }) => length))
    this.routed = new RoutedPrefixes(
      world.shape.clusters.length,
      world.blockTokens,
      LRU_TOKENS_PER_ENDPOINT * endpoints,
    )
  }

  choose(request: SimRequest, _: number, isOpen: (cluster: number) => boolean): RegionChoice {
    const clusters = this.world.shape.clusters.map((_, cluster) => ({ cluster, ...this.meanOf(cluster) }))
    const queues = clusters.map(({ waiting }) => waiting)
    const most = Math.max(...queues)
    const least = Math.min(...queues)
    const scored = clusters.map(({ cluster, waiting, kvUsage }) => {
      const queueScore = most === least ? 1 : (most - waiting) / (most - least)
      const prefixScore = this.routed.matchTokens(request, cluster) / request.promptTokens
      const score = WEIGHTS.prefix * prefixScore + WEIGHTS.queue * queueScore + WEIGHTS.kv * (1 - kvUsage)
      return { cluster, score: score + this.world.random.next() * 1e-9 - (isOpen(cluster) ? 100 : 0) }
    })
    return plainChoice(scored.toSorted((a, b) => b.score - a.score).map(({ cluster }) => cluster))
  }

  sent(request: SimRequest, _: number, __: RegionChoice, cluster: number): void {
    this.routed.insert(request, cluster)
  }

  private meanOf(cluster: number): { waiting: number; kvUsage: number } {
    const endpoints = this.world.endpointsOf[cluster] ?? []
    let waiting = 0
    let kvUsage = 0
    for (const endpoint of endpoints) {
      waiting += this.world.reading(endpoint).waiting / endpoints.length
      kvUsage += this.world.reading(endpoint).kvUsage / endpoints.length
    }
    return { waiting, kvUsage }
  }
}
