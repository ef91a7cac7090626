/**
 * The greedy oracle: the production price over every endpoint of the world, with residency and bookings of this instant
 * and no delay anywhere. Greedy, hence no upper bound; it shows what fresher knowledge could still give.
 */
import type { SimRequest } from '../world/request.ts'
import { IsothermAgent } from './isotherm-agent.ts'
import { plainChoice } from './region-rules.ts'
import type { PolicyWorld, RegionChoice, RegionPolicy } from './policy.ts'

/** The world as an oracle sees it. */
export function clairvoyant(world: PolicyWorld): PolicyWorld {
  const seen: PolicyWorld = Object.create(world, { clusterView: { get: () => world.trueView } })
  return seen
}

export class OracleRegion implements RegionPolicy {
  private readonly world: PolicyWorld
  private readonly agent: () => IsothermAgent

  /** `agent`: the endpoint policy of the same run, whose bookings are the truth. */
  constructor(world: PolicyWorld, agent: () => IsothermAgent) {
    this.world = world
    this.agent = agent
  }

  choose(request: SimRequest, _: number, isOpen: (cluster: number) => boolean): RegionChoice {
    const { shape } = this.world
    const agent = this.agent()
    const priced = shape.clusters.map(({ region }, cluster) => {
      const rttMs = shape.rttMs[request.region]?.[region] ?? 0
      return { cluster, ms: rttMs + agent.lowestCostMs(request, cluster) + (isOpen(cluster) ? 1e12 : 0) }
    })
    return plainChoice(priced.toSorted((a, b) => a.ms - b.ms).map(({ cluster }) => cluster))
  }
}
