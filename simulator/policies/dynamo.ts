/** Dynamo's router: the least of prefill blocks to come and blocks that decode, with credit for what overlaps. */
import type { SimRequest } from '../world/request.ts'
import { ENDPOINTS_MAX } from '../world/residency.ts'
import { PeerPolicy } from './endpoint-base.ts'
import { pickLowest } from './ranking.ts'
import type { Placement } from './policy.ts'

const BLOCK_TOKENS = 64
const PREFILL_LOAD_SCALE = 1
/** device, host, disk; nothing for what is farther. */
const OVERLAP_CREDITS = [1, 0.75, 0.25, 0]

export class DynamoRouter extends PeerPolicy {
  private readonly decodeTokens = new Float64Array(ENDPOINTS_MAX)

  protected override hitTokens(request: SimRequest, endpoint: number): number {
    return this.indexedTokens(request, endpoint, OVERLAP_CREDITS)
  }

  protected override pick(request: SimRequest, endpoints: readonly number[]): number {
    return pickLowest(
      endpoints,
      (endpoint) => {
        const incoming = request.promptTokens - this.hitTokens(request, endpoint)
        const prefill = Math.max(this.inFlight.newTokens(endpoint) + incoming, 0)
        return (PREFILL_LOAD_SCALE * prefill + (this.decodeTokens[endpoint] ?? 0)) / BLOCK_TOKENS
      },
      this.world.random.next,
    )
  }

  override sent(request: SimRequest, placement: Placement): void {
    super.sent(request, placement)
    this.add(placement.decode, request.promptTokens)
  }

  override finished(request: SimRequest, placement?: Placement): void {
    super.finished(request)
    if (placement) this.add(placement.decode, -request.promptTokens)
  }

  private add(endpoint: number, tokens: number): void {
    this.decodeTokens[endpoint] = (this.decodeTokens[endpoint] ?? 0) + tokens
  }
}
