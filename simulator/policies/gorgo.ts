/**
 * GORGO: one central proxy minimises round trip + prefill of what is not cached + w x queued tokens over all replicas.
 * Requests pay the way to the proxy, which stands in the first region. `w` is tuned on the first tenth of a trace.
 */
import type { SimRequest } from '../world/request.ts'
import { InFlight } from './in-flight.ts'
import { plainChoice } from './region-rules.ts'
import { pickLowest } from './ranking.ts'
import { RoutedPrefixes } from './routed-prefixes.ts'
import type { PolicyWorld, RegionChoice, RegionPolicy } from './policy.ts'

const PROXY_REGION = 0
const TRIE_TOKENS_MAX = 2 ** 22

export class Gorgo implements RegionPolicy {
  private readonly world: PolicyWorld
  private readonly weight: number
  private readonly trie: RoutedPrefixes
  private readonly inFlight = new InFlight()
  private newTokens = 0

  constructor(world: PolicyWorld, weight: number) {
    this.world = world
    this.weight = weight
    this.trie = new RoutedPrefixes(world.clusterOf.length, world.blockTokens, TRIE_TOKENS_MAX)
  }

  choose(request: SimRequest, _: number, isOpen: (cluster: number) => boolean): RegionChoice {
    const { world } = this
    const { shape } = world
    const endpoints = world.clusterOf.flatMap((cluster, endpoint) => (isOpen(cluster) ? [] : [endpoint]))
    const best = pickLowest(
      endpoints.length > 0 ? endpoints : world.clusterOf.map((_, endpoint) => endpoint),
      (endpoint) => this.costMs(request, endpoint),
      world.random.next,
    )
    const cluster = world.clusterOf[best] ?? 0
    const others = shape.clusters.map((_, other) => other).filter((other) => other !== cluster)
    const toProxyMs = (shape.rttMs[request.region]?.[PROXY_REGION] ?? 0) / 2
    const target = shape.clusters[cluster]?.region ?? 0
    const onwardMs = (shape.rttMs[PROXY_REGION]?.[target] ?? 0) / 2
    const directMs = (shape.rttMs[request.region]?.[target] ?? 0) / 2
    this.newTokens = request.promptTokens - this.trie.matchTokens(request, best)
    // The answer comes back the way it went: twice what the way there is longer by.
    const detourMs = Math.max(toProxyMs + onwardMs - directMs, 0) * 2
    return { ...plainChoice([cluster, ...others], best), detourMs }
  }

  sent(request: SimRequest, _: number, { endpoint }: RegionChoice): void {
    if (endpoint === null) return
    this.inFlight.sent(request, endpoint, this.newTokens)
    this.trie.insert(request, endpoint)
  }

  firstToken(request: SimRequest): void {
    this.inFlight.firstToken(request)
  }

  finished(request: SimRequest): void {
    this.inFlight.finished(request)
  }

  private costMs(request: SimRequest, endpoint: number): number {
    const { shape, clusterOf, endpointsOf } = this.world
    const cluster = clusterOf[endpoint] ?? 0
    const index = (endpointsOf[cluster] ?? []).indexOf(endpoint)
    const msPerToken = shape.clusters[cluster]?.endpoints[index]?.profile.prefill.msPerToken ?? 0
    const rttMs = shape.rttMs[PROXY_REGION]?.[shape.clusters[cluster]?.region ?? 0] ?? 0
    const uncached = request.promptTokens - this.trie.matchTokens(request, endpoint)
    const queued = this.inFlight.newTokens(endpoint)
    return rttMs + msPerToken * uncached + this.weight * msPerToken * queued
  }
}
