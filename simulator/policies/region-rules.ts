/** Region policies that need no knowledge of caches: nearest, random, sticky, spill. */
import type { SimRequest } from '../world/request.ts'
import { HashRing } from './hash-ring.ts'
import type { PolicyWorld, RegionChoice, RegionPolicy } from './policy.ts'

/** A plain list of clusters to try. */
export function plainChoice(clusters: readonly number[], endpoint: number | null = null): RegionChoice {
  return { clusters, endpoint, detourMs: 0, worksMs: [], predictedMs: null }
}

/** Clusters by round trip, those with an open breaker last. */
export function byDistance(
  world: PolicyWorld,
  region: number,
  isOpen: (cluster: number) => boolean,
): number[] {
  const { shape } = world
  const rttMs = (cluster: number) => shape.rttMs[region]?.[shape.clusters[cluster]?.region ?? 0] ?? 0
  return shape.clusters
    .map((_, cluster) => cluster)
    .toSorted((a, b) => Number(isOpen(a)) - Number(isOpen(b)) || rttMs(a) - rttMs(b))
}

export class NearestHealthy implements RegionPolicy {
  private readonly world: PolicyWorld

  constructor(world: PolicyWorld) {
    this.world = world
  }

  choose({ region }: SimRequest, _: number, isOpen: (cluster: number) => boolean): RegionChoice {
    return plainChoice(byDistance(this.world, region, isOpen))
  }
}

export class RandomRegion implements RegionPolicy {
  private readonly world: PolicyWorld

  constructor(world: PolicyWorld) {
    this.world = world
  }

  choose(_: SimRequest, __: number, isOpen: (cluster: number) => boolean): RegionChoice {
    const { random, shape } = this.world
    const ranks = shape.clusters.map((_, cluster) => ({
      cluster,
      rank: random.next() + Number(isOpen(cluster)),
    }))
    return plainChoice(ranks.toSorted((a, b) => a.rank - b.rank).map(({ cluster }) => cluster))
  }
}

/** Consistent hash of the session over clusters. */
export class StickyRegion implements RegionPolicy {
  private readonly ring: HashRing

  constructor(world: PolicyWorld) {
    this.ring = new HashRing(
      'cluster',
      world.shape.clusters.map((_, cluster) => cluster),
    )
  }

  choose(request: SimRequest, _: number, isOpen: (cluster: number) => boolean): RegionChoice {
    const order = this.ring.order(String(request.session))
    return plainChoice(order.toSorted((a, b) => Number(isOpen(a)) - Number(isOpen(b))))
  }
}

const SPILL_KV_USAGE = 0.8
const SPILL_QUEUE_PER_ENDPOINT = 5

/** The nearest cluster whose KV use and queue are under their bounds (as GKE's gateway spills); else the nearest. */
export class NearestWithSpill implements RegionPolicy {
  private readonly world: PolicyWorld

  constructor(world: PolicyWorld) {
    this.world = world
  }

  choose({ region }: SimRequest, _: number, isOpen: (cluster: number) => boolean): RegionChoice {
    const near = byDistance(this.world, region, isOpen)
    return plainChoice(near.toSorted((a, b) => Number(this.isFull(a)) - Number(this.isFull(b))))
  }

  private isFull(cluster: number): boolean {
    const endpoints = this.world.endpointsOf[cluster] ?? []
    let waiting = 0
    let kvUsage = 0
    for (const endpoint of endpoints) {
      const reading = this.world.reading(endpoint)
      waiting += reading.waiting
      kvUsage += reading.kvUsage
    }
    const count = Math.max(endpoints.length, 1)
    return kvUsage / count > SPILL_KV_USAGE || waiting / count > SPILL_QUEUE_PER_ENDPOINT
  }
}
