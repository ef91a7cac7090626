/** What the edge knows at this moment, laid out as candidates, and the plan made of it. Dispatch and explain both ask here. */
import type { PromptApi } from '../core/prompt-bytes.ts'
import type { ClusterKnowledge } from '../protocol/lookup.ts'
import type { Policy } from '../protocol/policy.ts'
import type { Admission } from './admit.ts'
import { askDirectory, type Knowledge } from './directory-client.ts'
import type { Edge } from './env.ts'
import type { Fingerprint } from './fingerprint.ts'
import { bookedQueues } from './plan/booked-queue.ts'
import { deepestBytes, type Candidate } from './plan/candidate.ts'
import { boundKnowledge } from './plan/freshness.ts'
import { makePlan, type Plan } from './plan/plan.ts'
import type { SettledWithin } from './settled-within.ts'

export interface Survey {
  readonly edgeRegion: string
  readonly fingerprint: Fingerprint
  readonly knowledge: Knowledge['source']
  /** What the plan was made of: another policy's plan is made of the same. */
  readonly candidates: readonly Candidate[]
  /** Of all its plans: policies differ by what they say and not by chance. */
  readonly draw: number
  readonly plan: Plan
}

/** Throws `invalid_request` when the body has no prompt. */
export async function surveyRoute(
  edge: Edge,
  api: PromptApi,
  json: Readonly<Record<string, unknown>>,
  admission: Admission,
  edgeRegion: string,
  settles: SettledWithin,
): Promise<Survey> {
  const { model, shareScope, policy } = admission
  const fingerprint = edge.fingerprinter.fingerprint(api, model, json, shareScope)
  const { markers } = fingerprint
  const { source, clusters: told } = await askDirectory(edge, edgeRegion, { model, markers }, settles)
  const clusters = boundKnowledge(told, policy)
  const candidates = layOutCandidates(edge, edgeRegion, clusters, markers, Date.now())
  const bare = { edgeRegion, fingerprint, knowledge: source, candidates, draw: Math.random() }
  return { ...bare, plan: planUnder(edge, admission, bare, policy, candidates) }
}

/** The plan that a policy makes of these candidates. Nothing is asked and nothing changes. */
export function planUnder(
  edge: Edge,
  { routing, promptCacheKey, pinnedCluster }: Admission,
  { fingerprint, knowledge, draw }: Omit<Survey, 'plan'>,
  policy: Policy,
  candidates: readonly Candidate[],
): Plan {
  return makePlan({
    candidates,
    policy,
    promptBytes: fingerprint.promptBytes,
    routing,
    knowledge,
    stayMarginMs: edge.config.stayMarginMs,
    isShared: edge.sharedPrefixes.isShared(fingerprint.markers, deepestBytes(candidates)),
    draw,
    pinnedCluster,
    stickyKey: promptCacheKey ?? fingerprint.firstMessageKey,
    random: Math.random,
  })
}

/** What an agent may take from the arrival of a request to its booking. */
const AGENT_MS = 50

function layOutCandidates(
  edge: Edge,
  edgeRegion: string,
  clusters: readonly ClusterKnowledge[],
  markers: Uint32Array,
  nowMs: number,
): Candidate[] {
  const known = new Map(clusters.map((knowledge) => [knowledge.cluster, knowledge]))
  const speculativeBytes = edge.bookings.speculativeBytes(markers, nowMs)
  const seedsMs = edge.regions.get(edgeRegion)?.rttMs ?? {}
  return edge.config.clusters.map((config): Candidate => {
    const { cluster, region } = config
    const knowledge: ClusterKnowledge = known.get(cluster) ?? { cluster, state: 'unknown' }
    const {
      othersBookedMs = [],
      othersSpeculativeBytes = 0,
      ...others
    } = knowledge.state === 'known' ? knowledge : { rttMs: undefined, load: null, isFailing: false }
    const seedMs = others.rttMs ?? seedsMs[cluster]
    const rttMs = edge.roundTrips.estimateMs(edgeRegion, cluster, seedMs, region === edgeRegion)
    // A heartbeat heard now left the cluster half a round trip ago and shows what was sent half a round trip before that.
    const heartbeatMs = knowledge.state === 'known' ? nowMs - knowledge.loadAgeMs - rttMs - AGENT_MS : 0
    const bookingsMs = edge.bookings.booked(cluster, heartbeatMs, nowMs)
    bookingsMs.push(...othersBookedMs)
    return {
      config,
      jurisdiction: edge.regions.get(region)?.jurisdiction ?? null,
      isRegionDrained: edge.config.drainedRegions.includes(region),
      knowledge,
      rttMs,
      booked: bookedQueues(bookingsMs, others.load),
      speculativeBytes: Math.max(speculativeBytes.get(cluster) ?? 0, othersSpeculativeBytes),
      isBreakerOpen: edge.breaker.isOpen(cluster, nowMs) || others.isFailing === true,
    }
  })
}
