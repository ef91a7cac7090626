/** A policy tried beside the live one: the same candidates, another plan, and only the difference is kept. */
import type { ShadowTally } from '../protocol/policy-store.ts'
import type { ActiveTenant } from '../protocol/tenancy.ts'
import { mayUse } from './admin/check-policy.ts'
import type { Admission } from './admit.ts'
import type { Edge } from './env.ts'
import { planUnder, type Survey } from './survey.ts'

const NOWHERE = 'refused'

/** Off the request path: the answer is under way. */
export function tryShadow(
  edge: Edge,
  { tenant, shadow }: ActiveTenant,
  requestId: string,
  admission: Admission,
  survey: Survey,
): void {
  if (shadow === null) return
  const live = survey.plan.entries[0]?.candidate.config.cluster ?? NOWHERE
  const plan = mayUse(shadow.policy, admission.model)
    ? planUnder(edge, admission, survey, shadow.policy, survey.candidates)
    : null
  const other = plan?.entries[0]?.candidate.config.cluster ?? NOWHERE
  edge.shadows.add(tenant, shadow.version, compare(requestId, live, other))
}

export function compare(requestId: string, live: string, shadow: string): ShadowTally {
  const isSame = live === shadow
  return {
    requests: 1,
    same: Number(isSame),
    otherCluster: Number(!isSame && live !== NOWHERE && shadow !== NOWHERE),
    refusedByShadow: Number(!isSame && shadow === NOWHERE),
    refusedByLive: Number(!isSame && live === NOWHERE),
    samples: isSame ? [] : [{ requestId, live, shadow }],
  }
}
