/** Candidates for tests of the plan: a near cluster and a far one, both known, idle and cold unless said otherwise. */
import { policySchema, type Policy } from '../../../protocol/edge-config.ts'
import type { ClusterKnowledge } from '../../../protocol/lookup.ts'
import type { ModelLoad } from '../../../protocol/report.ts'
import { NOTHING_BOOKED } from '../../../worker/plan/booked-queue.ts'
import type { Candidate } from '../../../worker/plan/candidate.ts'
import type { Plan, PlanInput } from '../../../worker/plan/plan.ts'
import { LOAD, OFFER } from '../../directory/fake-agent.ts'

export const PROMPT_BYTES = 40_000
/** Cold prefill of that prompt: 10,000 tokens at 0.1 ms and 10 ms fixed. */
export const COLD_MS = 1010

export type Known = Extract<ClusterKnowledge, { state: 'known' }>

export function known(cluster: string, change: Partial<Known> & { loads?: Partial<ModelLoad> } = {}): Known {
  const { loads, ...rest } = change
  return {
    cluster,
    state: 'known',
    matchedBytes: 0,
    tier: change.matchedBytes ? 1 : 0,
    ageMs: 100,
    loadAgeMs: 100,
    draining: false,
    offer: OFFER,
    load: { ...LOAD, ...loads },
    ...rest,
  }
}

export function candidate(
  cluster: string,
  rttMs: number,
  knowledge: ClusterKnowledge = known(cluster),
  change: Partial<Candidate> = {},
): Candidate {
  return {
    config: { cluster, region: cluster.replace(/-\d+$/, ''), url: `http://${cluster}.test`, entrances: {} },
    jurisdiction: null,
    isRegionDrained: false,
    knowledge,
    rttMs,
    booked: NOTHING_BOOKED,
    speculativeBytes: 0,
    isBreakerOpen: false,
    ...change,
  }
}

export const POLICY: Policy = policySchema.parse({ regions: ['near', 'far', 'other'] })

export function input(candidates: readonly Candidate[], change: Partial<PlanInput> = {}): PlanInput {
  return {
    candidates,
    policy: POLICY,
    promptBytes: PROMPT_BYTES,
    routing: 'isotherm',
    knowledge: 'directory',
    stayMarginMs: 50,
    stickyKey: 'a conversation',
    pinnedCluster: null,
    isShared: false,
    draw: 0.5,
    random: () => 0.5,
    ...change,
  }
}

/** The clusters in the order in which the plan tries them. */
export function order({ entries }: Plan): string[] {
  return entries.map((entry) => entry.candidate.config.cluster)
}
