/**
 * What a cluster must be before any price is asked, as a list: the first rule that a cluster fails is the reason that is
 * kept. Hard rules are never bent: policy, and what cannot work. Health rules yield when nothing else is left, since a
 * cluster in doubt is better than a refusal.
 */
import type { Rule } from '../../core/choose.ts'
import type { Policy } from '../../protocol/policy.ts'
import { believedLoad, matchOf, type Candidate } from './candidate.ts'

export const REJECT_REASONS = [
  'policy-region',
  'residency',
  'response-elsewhere',
  'model-not-served',
  'no-endpoints',
  'draining',
  'region-draining',
  'agent-left',
  'breaker-open',
] as const
export type RejectReason = (typeof REJECT_REASONS)[number]

/** What rules know beside the candidate. */
export interface RuleContext {
  readonly policy: Policy
  /** The cluster that keeps what the request continues; null when it continues nothing. */
  readonly pinnedCluster: string | null
  /** How deep the conversation is known where it is known best, in bytes; null for a new one. */
  readonly knownBytes: number | null
}

export interface PlanRule {
  readonly reason: RejectReason
  readonly kind: 'hard' | 'health'
  readonly rejects: (candidate: Candidate, context: RuleContext) => boolean
}

/** In the order in which they are asked. */
export const RULES: readonly PlanRule[] = [
  {
    reason: 'policy-region',
    kind: 'hard',
    rejects: ({ config }, { policy }) => !allowsRegion(policy, config.region),
  },
  {
    reason: 'residency',
    kind: 'hard',
    rejects: ({ jurisdiction }, { policy }) => !allowsJurisdiction(policy, jurisdiction),
  },
  {
    reason: 'response-elsewhere',
    kind: 'hard',
    rejects: ({ config }, { pinnedCluster }) => pinnedCluster !== null && pinnedCluster !== config.cluster,
  },
  {
    // Adapters are models of their own here, so this is their rule too.
    reason: 'model-not-served',
    kind: 'hard',
    rejects: ({ knowledge }) => knowledge.state === 'known' && knowledge.offer === null,
  },
  {
    reason: 'no-endpoints',
    kind: 'hard',
    rejects: (candidate) => believedLoad(candidate)?.endpoints === 0,
  },
  {
    reason: 'draining',
    kind: 'health',
    rejects: (candidate, context) =>
      candidate.knowledge.state === 'known' && candidate.knowledge.draining && !isHome(candidate, context),
  },
  {
    reason: 'region-draining',
    kind: 'health',
    rejects: (candidate, context) => candidate.isRegionDrained && !isHome(candidate, context),
  },
  {
    reason: 'agent-left',
    kind: 'health',
    rejects: ({ knowledge }) => knowledge.state === 'unknown' && knowledge.hasLeft === true,
  },
  { reason: 'breaker-open', kind: 'health', rejects: ({ isBreakerOpen }) => isBreakerOpen },
]

export function allowsRegion({ regions }: Policy, region: string): boolean {
  return regions.includes(region)
}

/** A region that does not say whose law holds there (null) is in no residency. */
export function allowsJurisdiction({ residency }: Policy, jurisdiction: string | null): boolean {
  return residency === null || (jurisdiction !== null && residency.includes(jurisdiction))
}

const OF_KIND: Readonly<Record<PlanRule['kind'], readonly PlanRule[]>> = {
  hard: RULES.filter(({ kind }) => kind === 'hard'),
  health: RULES.filter(({ kind }) => kind === 'health'),
}

/** The rules of one kind as one, for `choose`. */
export function ruleOf(kind: PlanRule['kind'], context: RuleContext): Rule<Candidate> {
  const rules = OF_KIND[kind]
  return (candidate) => rules.find(({ rejects }) => rejects(candidate, context))?.reason ?? null
}

/** What drains keeps the conversations that it knows, until they end. */
function isHome(candidate: Candidate, { knownBytes, pinnedCluster }: RuleContext): boolean {
  if (pinnedCluster === candidate.config.cluster) return true
  return knownBytes !== null && matchOf(candidate).bytes === knownBytes
}
