/** A survey in words: what `POST /v1/route/explain` answers, and what would be answered if things were otherwise. */
import { markerCount } from '../core/prefix-markers.ts'
import { RouteError } from '../protocol/errors.ts'
import type { Alternative, ExplainedCandidate, RouteExplanation } from '../protocol/explanation.ts'
import type { Policy } from '../protocol/policy.ts'
import { whatIfSchema, type WhatIf } from '../protocol/what-if.ts'
import { mayUse } from './admin/check-policy.ts'
import type { Admission } from './admit.ts'
import type { Edge } from './env.ts'
import type { PricedCandidate } from './plan/price.ts'
import { storedPolicy } from './stored-policy.ts'
import { planUnder, type Survey } from './survey.ts'

export interface Explained {
  readonly requestId: string
  readonly policyVersion: number
  readonly admission: Admission
  readonly survey: Survey
  /** As the caller gave it; undefined: nothing is supposed. */
  readonly whatIf: unknown
}

/** Throws `invalid_request` for a `what_if` that supposes what the tenant may not, and what `storedPolicy` throws. */
export async function explain(edge: Edge, explained: Explained): Promise<RouteExplanation> {
  const { requestId, policyVersion, admission, survey, whatIf } = explained
  const { plan, fingerprint, edgeRegion, knowledge } = survey
  return {
    requestId,
    tenant: admission.tenant,
    model: admission.model,
    routing: admission.routing,
    edgeRegion,
    knowledge,
    promptBytes: fingerprint.promptBytes,
    markers: markerCount(fingerprint.markers),
    reason: plan.reason,
    plan: plan.entries.map(explainCandidate),
    rejected: plan.rejected,
    policyVersion,
    whatIf: whatIf === undefined ? null : await suppose(edge, admission, survey, parseWhatIf(whatIf)),
  }
}

export function explainCandidate(entry: PricedCandidate): ExplainedCandidate {
  const { config, knowledge } = entry.candidate
  return {
    cluster: config.cluster,
    region: config.region,
    state: knowledge.state,
    matchedTokens: entry.matchedTokens,
    promptTokens: entry.promptTokens,
    tier: entry.tier,
    ageMs: knowledge.state === 'known' ? knowledge.ageMs : -1,
    terms: entry.terms,
  }
}

async function suppose(
  edge: Edge,
  admission: Admission,
  survey: Survey,
  whatIf: WhatIf,
): Promise<Alternative> {
  const { tenant, model, policy: live } = admission
  const version = whatIf.policy_version
  const base = version === undefined ? live : within(live, await storedPolicy(edge, tenant, version))
  const isDead = (cluster: string, region: string) =>
    whatIf.dead_regions.includes(region) || whatIf.dead_clusters.includes(cluster)
  const alive = survey.candidates.filter(({ config }) => !isDead(config.cluster, config.region))
  const dead = survey.candidates.filter((candidate) => !alive.includes(candidate))
  const policy = narrowed(base, whatIf.policy)
  const { reason, entries, rejected } = mayUse(policy, model)
    ? planUnder(edge, admission, survey, policy, alive)
    : { reason: null, entries: [], rejected: alive.map(({ config }) => forbids(config.cluster)) }
  return {
    reason,
    plan: entries.map(explainCandidate),
    rejected: [
      ...rejected,
      ...dead.map(({ config }) => ({ cluster: config.cluster, reason: 'supposed-dead' })),
    ],
  }
}

function forbids(cluster: string): { cluster: string; reason: string } {
  return { cluster, reason: 'policy-model' }
}

/** A stored version, in no place where the live one is not. */
function within(live: Policy, stored: Policy): Policy {
  const { residency } = live
  return {
    ...stored,
    regions: stored.regions.filter((region) => live.regions.includes(region)),
    residency:
      residency === null
        ? stored.residency
        : (stored.residency?.filter((place) => residency.includes(place)) ?? residency),
  }
}

/** A supposed policy shows nothing of places that the true one does not. */
function narrowed(policy: Policy, { regions, residency, ...rest }: WhatIf['policy']): Policy {
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined))
  const isWithin =
    policy.residency === null || !residency || residency.every((name) => policy.residency?.includes(name))
  if (regions?.some((region) => !policy.regions.includes(region)) || !isWithin) {
    throw invalid("'what_if.policy' may name fewer regions and residencies than the policy, and no others.")
  }
  return { ...policy, ...given, regions: regions ?? policy.regions, residency: residency ?? policy.residency }
}

function parseWhatIf(whatIf: unknown): WhatIf {
  const parsed = whatIfSchema.safeParse(whatIf)
  if (parsed.success) return parsed.data
  const where = parsed.error.issues.map(
    ({ path, code }) => `${['what_if', ...path.map(String)].join('.')} (${code})`,
  )
  throw invalid(`'what_if' cannot be supposed: ${where.slice(0, 5).join(', ')}.`)
}

function invalid(message: string): RouteError {
  return new RouteError('invalid_request', message, { param: 'what_if' })
}
