/**
 * How old knowledge may be, as numbers of the policy: beyond the first bound a load is not believed and conversations
 * stay where they are, beyond the second nothing is.
 */
import type { Policy } from '../../protocol/policy.ts'
import type { ClusterKnowledge } from '../../protocol/lookup.ts'

export const LOAD_AGE_MS_DEFAULT = 5000
export const RESIDENCY_AGE_MS_DEFAULT = 30_000

/** What of it the policy lets count. */
export function boundKnowledge(
  clusters: readonly ClusterKnowledge[],
  {
    loadAgeMsMax = LOAD_AGE_MS_DEFAULT,
    residencyAgeMsMax = RESIDENCY_AGE_MS_DEFAULT,
  }: Pick<Policy, 'loadAgeMsMax' | 'residencyAgeMsMax'>,
): readonly ClusterKnowledge[] {
  return clusters.map((known): ClusterKnowledge => {
    if (known.state === 'unknown') return known
    if (known.ageMs > residencyAgeMsMax) return { cluster: known.cluster, state: 'unknown' }
    return known.loadAgeMs > loadAgeMsMax ? { ...known, load: null } : known
  })
}
