/** A policy's world of which a test says every fact. */
import type { EngineReading, Heartbeat, PolicyWorld } from '../../../simulator/policies/policy.ts'
import { makeProfile } from '../../../simulator/scenario/profiles.ts'
import { Random } from '../../../simulator/world/random.ts'
import type { SimRequest } from '../../../simulator/world/request.ts'
import { ResidencyLog, ResidencyView } from '../../../simulator/world/residency.ts'

export const BLOCK_TOKENS = 64

export interface FakeFacts {
  /** Endpoints of each cluster; one cluster a region. */
  readonly clusters?: readonly number[]
  readonly rttMs?: readonly (readonly number[])[]
  readonly cpuKvTokens?: number
}

export class FakeWorld implements PolicyWorld {
  readonly shape
  readonly random = new Random(1)
  readonly endpointsOf: readonly (readonly number[])[]
  readonly clusterOf: readonly number[]
  readonly blockTokens = BLOCK_TOKENS
  readonly clusterView: ResidencyView
  readonly trueView: ResidencyView
  readonly readings = new Map<number, EngineReading>()
  readonly heartbeats = new Map<number, Heartbeat>()
  readonly dead = new Set<number>()
  now = 0
  private readonly log = new ResidencyLog()

  constructor({ clusters = [4], rttMs, cpuKvTokens = 0 }: FakeFacts = {}) {
    const profile = makeProfile('qwen3-32b-tp2-h100', BLOCK_TOKENS, { cpuKvTokens })
    let next = 0
    this.endpointsOf = clusters.map((count) => Array.from({ length: count }, () => next++))
    this.clusterOf = this.endpointsOf.flatMap((list, cluster) => list.map(() => cluster))
    this.shape = {
      regions: clusters.map((_, i) => `region-${i}`),
      rttMs: rttMs ?? clusters.map((_, i) => clusters.map((_, j) => (i === j ? 5 : 100 * Math.abs(i - j)))),
      clusters: clusters.map((count, region) => ({
        name: `cluster-${region}`,
        region,
        endpoints: Array.from({ length: count }, () => ({ role: 'both' as const, profile })),
      })),
      kvBytesPerToken: profile.kvBytesPerToken,
      delays: { eventsMs: 0, reportMs: 0, batchMs: 0, heartbeatMs: 200, pollMs: 50, lossShare: 0 },
      isolates: 1,
      outages: [],
      stalls: { share: 0, ms: 0 },
      adapters: { slots: 4, loadMs: 100 },
    }
    this.clusterView = new ResidencyView([{ log: this.log, delayMs: 0 }], 10_000)
    this.trueView = this.clusterView
  }

  nowMs(): number {
    return this.now
  }

  regionView(): ResidencyView {
    this.clusterView.advance(this.now)
    return this.clusterView
  }

  reading(endpoint: number): EngineReading {
    return this.readings.get(endpoint) ?? { running: 0, waiting: 0, kvUsage: 0 }
  }

  trueReading(endpoint: number): EngineReading {
    return this.reading(endpoint)
  }

  isHealthy(endpoint: number): boolean {
    return !this.dead.has(endpoint)
  }

  heartbeat(cluster: number): Heartbeat | null {
    return this.heartbeats.get(cluster) ?? null
  }

  /** Blocks `from` to `end` of a request lie on a tier of an endpoint. */
  hold(endpoint: number, request: SimRequest, end: number, tier = 1, from = 0): void {
    for (let i = from; i < end; i++) this.log.push(this.now, endpoint, tier, true, request.blocks[i] ?? 0)
  }
}

let made = 0

/** A prompt of `blocks` blocks of its own family and a few tokens more. */
export function ask(family: number, blocks = 20, fields: Partial<SimRequest> = {}): SimRequest {
  return {
    number: made++,
    arrivalMs: 0,
    stage: 0,
    isCounted: true,
    region: 0,
    session: family,
    tenant: 0,
    adapter: -1,
    promptTokens: blocks * BLOCK_TOKENS + 10,
    outputTokens: 100,
    blocks: Int32Array.from({ length: blocks }, (_, i) => family * 100 + i),
    ends: [],
    label: '',
    ...fields,
  }
}

/** Chooses and sends, as the world would. */
export function place(
  policy: { choose: (request: SimRequest, cluster: number) => unknown; sent?: unknown },
  request: SimRequest,
): number {
  const placement = policy.choose(request, 0) as { prefill: number; decode: number } | null
  if (placement === null) return -1
  ;(policy.sent as ((request: SimRequest, placement: unknown) => void) | undefined)?.call(
    policy,
    request,
    placement,
  )
  return placement.prefill
}

export function count(values: readonly number[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1
  return counts
}
