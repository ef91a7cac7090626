/**
 * SkyWalker: a balancer in each region pushes only to replicas with no pending request, the longest prefix of its own trie
 * first; only when none is free it forwards to a peer region that has free replicas, by that region's prefix snapshot.
 * With none free anywhere the request waits at the balancer.
 */
import type { SimRequest } from '../world/request.ts'
import { byDistance, plainChoice } from './region-rules.ts'
import { pickHighest } from './ranking.ts'
import { RoutedPrefixes } from './routed-prefixes.ts'
import type { PolicyWorld, RegionChoice, RegionPolicy } from './policy.ts'

const SNAPSHOT_MS = 1000
const TRIE_TOKENS_MAX = 2 ** 22

export class Skywalker implements RegionPolicy {
  private readonly world: PolicyWorld
  private readonly trie: RoutedPrefixes
  /** Requests without a first token, by endpoint. */
  private readonly pending = new Map<number, number>()
  private snapshot: ReadonlyMap<number, number> = new Map()
  private snapshotMs = -Infinity

  constructor(world: PolicyWorld) {
    this.world = world
    this.trie = new RoutedPrefixes(world.clusterOf.length, world.blockTokens, TRIE_TOKENS_MAX)
  }

  choose(request: SimRequest, _: number, isOpen: (cluster: number) => boolean): RegionChoice | null {
    const { world } = this
    if (world.nowMs() - this.snapshotMs > SNAPSHOT_MS) {
      this.snapshot = new Map(this.pending)
      this.snapshotMs = world.nowMs()
    }
    const order = byDistance(world, request.region, isOpen)
    for (const cluster of order) {
      if (isOpen(cluster)) continue
      const isLocal = world.shape.clusters[cluster]?.region === request.region
      const pending = isLocal ? this.pending : this.snapshot
      const free = (world.endpointsOf[cluster] ?? []).filter(
        (endpoint) =>
          (pending.get(endpoint) ?? 0) === 0 && this.isIdle(endpoint) && world.isHealthy(endpoint),
      )
      if (free.length === 0) continue
      const best = pickHighest(
        free,
        (endpoint) => this.trie.matchTokens(request, endpoint),
        world.random.next,
      )
      return plainChoice([cluster, ...order.filter((other) => other !== cluster)], best)
    }
    return null
  }

  sent(request: SimRequest, _: number, { endpoint }: RegionChoice): void {
    if (endpoint === null) return
    this.trie.insert(request, endpoint)
    this.pending.set(endpoint, (this.pending.get(endpoint) ?? 0) + 1)
  }

  firstToken(_: SimRequest, __: number, endpoint: number): void {
    this.pending.set(endpoint, Math.max((this.pending.get(endpoint) ?? 0) - 1, 0))
  }

  /** Selective pushing asks the replica for its pending queue. */
  private isIdle(endpoint: number): boolean {
    return this.world.reading(endpoint).waiting === 0
  }
}
