/**
 * The edge's choice as production makes it: `makePlan` over what the regional directory answers, with the isolate's own
 * bookings. What worker/survey.ts lays out from RPCs is laid out here from the simulated directory.
 */
import { TIERS } from '../../core/tiers.ts'
import { policySchema, type ClusterConfig, type Policy as TenantPolicy } from '../../protocol/edge-config.ts'
import type { ClusterKnowledge } from '../../protocol/lookup.ts'
import type { ModelOffer } from '../../protocol/report.ts'
import { bookedQueues } from '../../worker/plan/booked-queue.ts'
import { deepestBytes, type Candidate } from '../../worker/plan/candidate.ts'
import { elsewhereMs } from '../../worker/plan/elsewhere.ts'
import { makePlan } from '../../worker/plan/plan.ts'
import { predictedTtftMs } from '../../worker/plan/price.ts'
import type { SimRequest } from '../world/request.ts'
import { ENDPOINTS_MAX, TIER_COUNT } from '../world/residency.ts'
import { agentProfile } from './agent-profile.ts'
import { EdgeIsolates } from './edge-isolates.ts'
import { BYTES_PER_TOKEN, markersOf } from './markers.ts'
import type { PolicyWorld, RegionChoice, RegionPolicy } from './policy.ts'

/** What an agent may take from the arrival of a request to its booking, as in worker/survey.ts. */
const AGENT_MS = 50
const STAY_MARGIN_MS = 50

export class IsothermEdge implements RegionPolicy {
  private readonly world: PolicyWorld
  private readonly clusters: readonly ClusterConfig[]
  private readonly offers: readonly ModelOffer[]
  private readonly tenant: TenantPolicy
  /** By region. */
  private readonly isolates: readonly EdgeIsolates[]
  private readonly runs = new Int32Array(ENDPOINTS_MAX * TIER_COUNT)

  constructor(world: PolicyWorld) {
    const { shape } = world
    this.world = world
    this.clusters = shape.clusters.map(({ name, region }) => ({
      cluster: name,
      region: shape.regions[region] ?? '',
      url: 'http://cluster.invalid',
      entrances: {},
    }))
    this.offers = shape.clusters.map(({ endpoints }) => offerOf(endpoints, shape.kvBytesPerToken))
    this.tenant = policySchema.parse({ regions: [...shape.regions] })
    this.isolates = shape.regions.map((_, region) => new EdgeIsolates(shape.isolates, this.rttFrom(region)))
  }

  choose(request: SimRequest, isolate: number, isOpen: (cluster: number) => boolean): RegionChoice | null {
    const isolates = this.isolatesOf(request.region)
    isolates.tell(isolate, this.world.nowMs())
    const candidates = this.layOut(request, isolate, isOpen)
    const markers = markersOf(request, this.world.blockTokens)
    const bytes = deepestBytes(candidates)
    const { shared } = isolates.of(isolate)
    const isShared = shared.isShared(markers, bytes)
    shared.note(markers, bytes)
    const plan = makePlan({
      candidates,
      isShared,
      draw: this.world.random.next(),
      policy: this.tenant,
      promptBytes: request.promptTokens * BYTES_PER_TOKEN,
      routing: 'isotherm',
      knowledge: 'directory',
      stayMarginMs: STAY_MARGIN_MS,
      pinnedCluster: null,
      stickyKey: String(request.session),
      random: this.world.random.next,
    })
    const [first] = plan.entries
    return {
      clusters: plan.entries.map(({ candidate }) => this.clusters.indexOf(candidate.config)),
      endpoint: null,
      detourMs: 0,
      worksMs: plan.entries.map(({ terms }) => terms.prefillMs + terms.loadMs),
      predictedMs: first ? predictedTtftMs(first.terms) : null,
      elsewhereMs: elsewhereMs(plan, this.tenant.attemptsMax, STAY_MARGIN_MS),
    }
  }

  sent(request: SimRequest, isolate: number, choice: RegionChoice, cluster: number): void {
    const { name } = this.world.shape.clusters[cluster] ?? {}
    if (name === undefined) return
    const { bookings } = this.isolatesOf(request.region).of(isolate)
    const workMs = choice.worksMs[choice.clusters.indexOf(cluster)] ?? 0
    bookings.book(name, workMs, markersOf(request, this.world.blockTokens), this.world.nowMs())
  }

  redirected(request: SimRequest, isolate: number, cluster: number): void {
    const { name } = this.world.shape.clusters[cluster] ?? {}
    const { bookings } = this.isolatesOf(request.region).of(isolate)
    if (name !== undefined) bookings.retract(name, markersOf(request, this.world.blockTokens))
  }

  private layOut(request: SimRequest, isolate: number, isOpen: (cluster: number) => boolean): Candidate[] {
    const { world, runs } = this
    const { shape } = world
    const nowMs = world.nowMs()
    const markers = markersOf(request, world.blockTokens)
    const isolates = this.isolatesOf(request.region)
    const { bookings } = isolates.of(isolate)
    const speculative = bookings.speculativeBytes(markers, nowMs)
    const othersSpeculative = isolates.othersSpeculativeBytes(isolate, markers, nowMs)
    const limit = Math.floor(request.promptTokens / world.blockTokens)
    world.regionView(request.region).match(request.blocks, limit, 0xffffffff, runs)
    return this.clusters.map((config, cluster): Candidate => {
      const rttMs = shape.rttMs[request.region]?.[shape.clusters[cluster]?.region ?? 0] ?? 0
      const knowledge = this.knowledge(config.cluster, cluster, request.region, markers, nowMs)
      const load = knowledge.state === 'known' ? knowledge.load : null
      const heardMs = knowledge.state === 'known' ? nowMs - knowledge.loadAgeMs : 0
      return {
        config,
        knowledge,
        rttMs,
        booked: bookedQueues(
          [
            ...bookings.booked(config.cluster, heardMs - rttMs - AGENT_MS, nowMs),
            ...isolates.othersBooked(isolate, config.cluster, heardMs, nowMs),
          ],
          load,
        ),
        speculativeBytes: Math.max(
          speculative.get(config.cluster) ?? 0,
          othersSpeculative.get(config.cluster) ?? 0,
        ),
        jurisdiction: null,
        isRegionDrained: false,
        isBreakerOpen: isOpen(cluster),
      }
    })
  }

  private isolatesOf(region: number): EdgeIsolates {
    const found = this.isolates[region]
    if (!found) throw new RangeError(`no region ${region}`)
    return found
  }

  private rttFrom(region: number): (cluster: string) => number {
    const { clusters, rttMs } = this.world.shape
    const ways = new Map(clusters.map((cluster) => [cluster.name, rttMs[region]?.[cluster.region] ?? 0]))
    return (cluster) => ways.get(cluster) ?? 0
  }

  private knowledge(
    name: string,
    cluster: number,
    region: number,
    markers: Uint32Array,
    nowMs: number,
  ): ClusterKnowledge {
    const { world } = this
    const beat = world.heartbeat(cluster, region)
    const offer = this.offers[cluster]
    if (!beat || !offer) return { cluster: name, state: 'unknown' }
    const { bytes, tier } = this.deepest(cluster, markers)
    const ageMs = nowMs - beat.heardMs
    return {
      cluster: name,
      state: 'known',
      matchedBytes: bytes,
      tier,
      ageMs,
      draining: false,
      offer,
      load: {
        model: 'model',
        ...beat.queues,
        handoffMs: beat.handoffMs,
        endpoints: beat.endpoints,
        bytesPerToken: BYTES_PER_TOKEN,
      },
      loadAgeMs: ageMs,
    }
  }

  /** The deepest marker that one endpoint of the cluster holds whole, and the best tier of its farthest part. */
  private deepest(cluster: number, markers: Uint32Array): { bytes: number; tier: number } {
    const { world, runs } = this
    const blockBytes = world.blockTokens * BYTES_PER_TOKEN
    let best = { bytes: 0, tier: 0 }
    for (const number of world.endpointsOf[cluster] ?? []) {
      let blocks = 0
      for (let tier = 0; tier < TIER_COUNT; tier++) blocks += runs[number * TIER_COUNT + tier] ?? 0
      let bytes = 0
      for (let at = markers.length - 3; at >= 0 && bytes === 0; at -= 3) {
        if ((markers[at] ?? 0) <= blocks * blockBytes) bytes = markers[at] ?? 0
      }
      if (bytes === 0) continue
      const tier = this.tierAt(number, bytes / blockBytes)
      if (bytes > best.bytes || (bytes === best.bytes && tier < best.tier)) best = { bytes, tier }
    }
    return best
  }

  private tierAt(number: number, blocks: number): number {
    let end = 0
    for (let tier = 0; tier < TIER_COUNT; tier++) {
      end += this.runs[number * TIER_COUNT + tier] ?? 0
      if (end >= blocks) return tier + 1
    }
    return TIERS.length
  }
}

function offerOf(
  endpoints: PolicyWorld['shape']['clusters'][number]['endpoints'],
  kvBytesPerToken: number,
): ModelOffer {
  const [first] = endpoints.filter(({ role }) => role !== 'decode').concat(endpoints)
  if (!first) throw new Error('a cluster needs an endpoint')
  const profile = agentProfile(first.profile)
  return {
    model: 'model',
    bytesPerToken: BYTES_PER_TOKEN,
    kvBytesPerToken,
    contextTokensMax: first.profile.contextTokensMax,
    prefill: profile.prefill,
    tiers: { ...profile.tiers },
  }
}
