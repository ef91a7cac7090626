/** A survey in words: what `POST /v1/route/explain` answers. */
import { markerCount } from '../core/prefix-markers.ts'
import type { ExplainedCandidate, RouteExplanation } from '../protocol/explanation.ts'
import type { Admission } from './admit.ts'
import type { PricedCandidate } from './plan/price.ts'
import type { Survey } from './survey.ts'

export function explain(requestId: string, admission: Admission, survey: Survey): RouteExplanation {
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
