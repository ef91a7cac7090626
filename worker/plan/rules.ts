/**
 * What a cluster must be before any price is asked. Hard rules are never bent: policy, and what cannot work. Health rules
 * yield when nothing else is left, since a cluster in doubt is better than a refusal.
 */
import type { Rule } from '../../core/choose.ts'
import type { Policy } from '../../protocol/edge-config.ts'
import { believedLoad, type Candidate } from './candidate.ts'

/** Rules that nothing bends. */
export function hardRules(policy: Policy): Rule<Candidate>[] {
  return [
    ({ config }) => (policy.regions.includes(config.region) ? null : 'policy-region'),
    ({ knowledge }) => (knowledge.state === 'known' && knowledge.offer === null ? 'model-not-served' : null),
    (candidate) => (believedLoad(candidate)?.endpoints === 0 ? 'no-endpoints' : null),
  ]
}

/** Rules that yield when they leave nobody. A draining cluster keeps the conversations that it knows. */
export function healthRules(isConversationKnown: boolean): Rule<Candidate>[] {
  return [
    ({ knowledge }) =>
      knowledge.state === 'known' && knowledge.draining && !isConversationKnown ? 'draining' : null,
    ({ knowledge }) => (knowledge.state === 'unknown' && knowledge.hasLeft ? 'agent-left' : null),
    ({ isBreakerOpen }) => (isBreakerOpen ? 'breaker-open' : null),
  ]
}
