/** A session's first turn is placed by price, queue included; then it stays there until it was idle for a while. */
import type { SimRequest } from '../world/request.ts'
import { IsothermEdge } from './isotherm-edge.ts'
import { plainChoice } from './region-rules.ts'
import type { PolicyWorld, RegionChoice, RegionPolicy } from './policy.ts'

const IDLE_MS_MAX = 600_000

export class StrongSticky implements RegionPolicy {
  private readonly world: PolicyWorld
  private readonly pricing: IsothermEdge
  /** Shared by all edges, as if written down at once: generous to the rule. */
  private readonly homes = new Map<number, { readonly cluster: number; usedMs: number }>()

  constructor(world: PolicyWorld) {
    this.world = world
    this.pricing = new IsothermEdge(world)
  }

  choose(request: SimRequest, isolate: number, isOpen: (cluster: number) => boolean): RegionChoice | null {
    const home = this.homes.get(request.session)
    if (home && this.world.nowMs() - home.usedMs < IDLE_MS_MAX && !isOpen(home.cluster)) {
      const others = this.world.shape.clusters.map((_, cluster) => cluster)
      return plainChoice([home.cluster, ...others.filter((cluster) => cluster !== home.cluster)])
    }
    return this.pricing.choose(request, isolate, isOpen)
  }

  sent(request: SimRequest, isolate: number, choice: RegionChoice, cluster: number): void {
    this.homes.set(request.session, { cluster, usedMs: this.world.nowMs() })
    if (choice.worksMs.length > 0) this.pricing.sent(request, isolate, choice, cluster)
  }
}
