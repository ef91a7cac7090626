/** Balancers that know nothing of caches: random, round robin, least request, power of two. */
import type { SimRequest } from '../world/request.ts'
import { PeerPolicy } from './endpoint-base.ts'
import { pickLowest } from './ranking.ts'

export class RandomEndpoint extends PeerPolicy {
  protected override pick(_: SimRequest, endpoints: readonly number[]): number {
    return endpoints[this.world.random.int(endpoints.length)] ?? -1
  }
}

export class RoundRobin extends PeerPolicy {
  private turn = 0

  protected override pick(_: SimRequest, endpoints: readonly number[]): number {
    return endpoints[this.turn++ % endpoints.length] ?? -1
  }
}

export class LeastRequest extends PeerPolicy {
  protected override pick(_: SimRequest, endpoints: readonly number[]): number {
    return pickLowest(endpoints, (endpoint) => this.inFlight.of(endpoint), this.world.random.next)
  }
}

export class PowerOfTwo extends PeerPolicy {
  protected override pick(_: SimRequest, endpoints: readonly number[]): number {
    const first = this.world.random.int(endpoints.length)
    const step = 1 + this.world.random.int(Math.max(endpoints.length - 1, 1))
    const two = [endpoints[first] ?? -1, endpoints[(first + step) % endpoints.length] ?? -1]
    return pickLowest(two, (endpoint) => this.inFlight.of(endpoint), this.world.random.next)
  }
}
