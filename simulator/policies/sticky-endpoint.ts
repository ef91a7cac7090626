/** Session sticky: consistent hash of the session over a cluster's endpoints, the next healthy one on failure. */
import type { SimRequest } from '../world/request.ts'
import { PeerPolicy } from './endpoint-base.ts'
import { HashRing } from './hash-ring.ts'

export class StickyEndpoint extends PeerPolicy {
  private readonly rings = new Map<number, HashRing>()

  protected override pick(request: SimRequest, endpoints: readonly number[]): number {
    const cluster = this.world.clusterOf[endpoints[0] ?? 0] ?? 0
    const ring = this.rings.get(cluster) ?? new HashRing('endpoint', this.world.endpointsOf[cluster] ?? [])
    this.rings.set(cluster, ring)
    return ring.order(String(request.session)).find((endpoint) => endpoints.includes(endpoint)) ?? -1
  }
}
