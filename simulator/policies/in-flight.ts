/** What a router knows of load without asking: the requests that it sent and that have not ended. */
import type { SimRequest } from '../world/request.ts'
import { ENDPOINTS_MAX } from '../world/residency.ts'

export class InFlight {
  private readonly counts = new Int32Array(ENDPOINTS_MAX)
  /** Uncached prompt tokens that have given no first token yet. */
  private readonly tokens = new Float64Array(ENDPOINTS_MAX)
  private readonly open = new Map<number, { endpoint: number; newTokens: number }>()

  sent(request: SimRequest, endpoint: number, newTokens: number): void {
    this.counts[endpoint] = this.of(endpoint) + 1
    this.tokens[endpoint] = this.newTokens(endpoint) + newTokens
    this.open.set(request.number, { endpoint, newTokens })
  }

  firstToken(request: SimRequest): void {
    const entry = this.open.get(request.number)
    if (!entry) return
    this.tokens[entry.endpoint] = this.newTokens(entry.endpoint) - entry.newTokens
    entry.newTokens = 0
  }

  finished(request: SimRequest): void {
    this.firstToken(request)
    const entry = this.open.get(request.number)
    if (!entry) return
    this.open.delete(request.number)
    this.counts[entry.endpoint] = this.of(entry.endpoint) - 1
  }

  of(endpoint: number): number {
    return this.counts[endpoint] ?? 0
  }

  newTokens(endpoint: number): number {
    return this.tokens[endpoint] ?? 0
  }
}
