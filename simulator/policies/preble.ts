/** Preble's E2: exploit the longest match when most of the prompt hits, else explore the cheapest endpoint. */
import { prefillMs } from '../../core/cost-model.ts'
import type { SimRequest } from '../world/request.ts'
import { ENDPOINTS_MAX } from '../world/residency.ts'
import { PeerPolicy } from './endpoint-base.ts'
import { pickHighest, pickLowest } from './ranking.ts'
import { RoutedPrefixes } from './routed-prefixes.ts'
import type { Placement, PolicyWorld } from './policy.ts'

const WINDOW_MS = 180_000
/** An endpoint whose window carries this many times the least one's is out of balance: its prefix is replicated. */
const IMBALANCE = 2
/** Busy for less than a tenth of the window, no endpoint is overloaded. */
const CALM_MS = WINDOW_MS / 10

export class PrebleE2 extends PeerPolicy {
  private readonly tree: RoutedPrefixes
  private readonly windows: { atMs: number; costMs: number }[][] = []
  private readonly loadsMs = new Float64Array(ENDPOINTS_MAX)

  constructor(world: PolicyWorld) {
    super(world)
    const shapes = world.shape.clusters.flatMap(({ endpoints }) => endpoints)
    const kvTokens = Math.max(...shapes.map(({ profile }) => profile.kvTokens))
    this.tree = new RoutedPrefixes(shapes.length, world.blockTokens, kvTokens)
  }

  protected override hitTokens(request: SimRequest, endpoint: number): number {
    return this.tree.matchTokens(request, endpoint)
  }

  protected override pick(request: SimRequest, endpoints: readonly number[]): number {
    const { random } = this.world
    for (const endpoint of endpoints) this.forgetOld(endpoint)
    const loadOf = (endpoint: number) => this.loadsMs[endpoint] ?? 0
    const best = pickHighest(endpoints, (endpoint) => this.hitTokens(request, endpoint), random.next)
    const hit = this.hitTokens(request, best)
    const least = Math.min(...endpoints.map(loadOf))
    const isBalanced = loadOf(best) <= Math.max(IMBALANCE * least + this.costMs(request, best), CALM_MS)
    if (hit > request.promptTokens - hit && isBalanced) return best
    return pickLowest(endpoints, (endpoint) => loadOf(endpoint) + this.costMs(request, endpoint), random.next)
  }

  override sent(request: SimRequest, placement: Placement): void {
    const costMs = this.costMs(request, placement.prefill)
    super.sent(request, placement)
    this.tree.insert(request, placement.prefill)
    const window = (this.windows[placement.prefill] ??= [])
    window.push({ atMs: this.world.nowMs(), costMs })
    this.loadsMs[placement.prefill] = (this.loadsMs[placement.prefill] ?? 0) + costMs
  }

  private forgetOld(endpoint: number): void {
    const window = this.windows[endpoint] ?? []
    const sinceMs = this.world.nowMs() - WINDOW_MS
    const kept = window.findIndex(({ atMs }) => atMs >= sinceMs)
    for (const { costMs } of window.splice(0, kept < 0 ? window.length : kept)) {
      this.loadsMs[endpoint] = (this.loadsMs[endpoint] ?? 0) - costMs
    }
  }

  /** Prefill of the miss and the steps of the answer; evictions cost what they push out to be computed again. */
  private costMs(request: SimRequest, endpoint: number): number {
    const { shape } = this.world
    const cluster = this.world.clusterOf[endpoint] ?? 0
    const index = (this.world.endpointsOf[cluster] ?? []).indexOf(endpoint)
    const profile = shape.clusters[cluster]?.endpoints[index]?.profile
    if (!profile) return 0
    const hit = this.hitTokens(request, endpoint)
    const missMs = prefillMs(profile.prefill, request.promptTokens - hit, hit)
    return missMs + request.outputTokens * profile.decode.msPerSequence
  }
}
