/**
 * What a router guesses of caches from its own choices: the blocks of what it sent to each endpoint, least recently used
 * first out. Inserted on routing, never corrected by the engine.
 */
import type { SimRequest } from '../world/request.ts'

export class RoutedPrefixes {
  private readonly blocksMax: number
  private readonly promptBlocksMax: number
  private readonly blockTokens: number
  private readonly known: Map<number, true>[]

  constructor(endpoints: number, blockTokens: number, tokensMax: number, promptTokensMax = Infinity) {
    this.blockTokens = blockTokens
    this.blocksMax = Math.floor(tokensMax / blockTokens)
    this.promptBlocksMax = promptTokensMax === Infinity ? Infinity : Math.ceil(promptTokensMax / blockTokens)
    this.known = Array.from({ length: endpoints }, () => new Map())
  }

  /** Tokens of the longest prefix that was routed to the endpoint and is still remembered. */
  matchTokens(request: SimRequest, endpoint: number): number {
    const known = this.known[endpoint]
    const limit = this.limit(request)
    let blocks = 0
    while (blocks < limit && known?.has(request.blocks[blocks] ?? -1)) blocks++
    return blocks * this.blockTokens
  }

  insert(request: SimRequest, endpoint: number): void {
    const known = this.known[endpoint]
    if (!known) return
    // Tail first, so that the least recently used block is the deepest.
    for (let i = this.limit(request) - 1; i >= 0; i--) {
      const block = request.blocks[i] ?? -1
      known.delete(block)
      known.set(block, true)
    }
    while (known.size > this.blocksMax) {
      const oldest = known.keys().next()
      if (oldest.done) break
      known.delete(oldest.value)
    }
  }

  size(endpoint: number): number {
    return this.known[endpoint]?.size ?? 0
  }

  private limit(request: SimRequest): number {
    return Math.min(Math.floor(request.promptTokens / this.blockTokens), this.promptBlocksMax)
  }
}
