/** What a shadow policy would have done otherwise, summed up. */
import { SHADOW_SAMPLES_MAX, type ShadowTally } from '../protocol/policy-store.ts'

/** The newest samples are kept. */
export function addShadowTally(before: ShadowTally | null, more: ShadowTally): ShadowTally {
  if (before === null) return { ...more, samples: more.samples.slice(-SHADOW_SAMPLES_MAX) }
  return {
    requests: before.requests + more.requests,
    same: before.same + more.same,
    otherCluster: before.otherCluster + more.otherCluster,
    refusedByShadow: before.refusedByShadow + more.refusedByShadow,
    refusedByLive: before.refusedByLive + more.refusedByLive,
    samples: [...before.samples, ...more.samples].slice(-SHADOW_SAMPLES_MAX),
  }
}
