/**
 * Remembers which endpoint last served a prefix, and nothing of the tier on which it lies by now: the router of the
 * cascade. A new prefix goes to the least loaded endpoint.
 */
import type { SimRequest } from '../world/request.ts'
import { PeerPolicy } from './endpoint-base.ts'
import { pickLowest } from './ranking.ts'

/** A map without a bound would remember blocks that no engine has had for hours. */
const BLOCKS_MAX = 4_000_000

export class PodMemory extends PeerPolicy {
  private readonly last = new Map<number, number>()

  protected override pick(request: SimRequest, endpoints: readonly number[]): number {
    let found = -1
    let depth = 0
    const limit = Math.floor(request.promptTokens / this.world.blockTokens)
    for (let i = limit - 1; i >= 0 && found < 0; i--) {
      const endpoint = this.last.get(request.blocks[i] ?? -1)
      if (endpoint === undefined || !endpoints.includes(endpoint)) continue
      found = endpoint
      depth = i + 1
    }
    const isWarm = depth * this.world.blockTokens >= request.promptTokens / 2
    const pick = isWarm
      ? found
      : pickLowest(endpoints, (endpoint) => this.inFlight.of(endpoint), this.world.random.next)
    for (let i = 0; i < limit; i++) this.last.set(request.blocks[i] ?? -1, pick)
    if (this.last.size > BLOCKS_MAX) this.last.clear()
    return pick
  }
}
