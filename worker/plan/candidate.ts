/** A cluster that could serve a request, with everything that rules and prices look at. Times are milliseconds. */
import type { ClusterConfig } from '../../protocol/edge-config.ts'
import type { ClusterKnowledge } from '../../protocol/lookup.ts'
import type { ModelLoad, ModelOffer } from '../../protocol/report.ts'
import type { BookedQueues } from './booked-queue.ts'

/** Beyond this age a load says nothing about now: acting on it doubles tail latency (reference/policy-study.md). */
export const LOAD_AGE_MS_MAX = 5000

export interface Candidate {
  readonly config: ClusterConfig
  /** Whose law holds in its region; null when the configuration does not say. */
  readonly jurisdiction: string | null
  /** Its region takes no new conversations. */
  readonly isRegionDrained: boolean
  readonly knowledge: ClusterKnowledge
  readonly rttMs: number
  /** What requests that edges sent there, and no heartbeat can have counted yet, add to its queues. */
  readonly booked: BookedQueues
  /** Canonical bytes of this prompt that this isolate has just sent there; 0 when none. */
  readonly speculativeBytes: number
  readonly isBreakerOpen: boolean
}

/** The load of the candidate if it is fresh enough to be believed. */
export function believedLoad({ knowledge }: Candidate): ModelLoad | null {
  return knowledge.state === 'known' && knowledge.loadAgeMs <= LOAD_AGE_MS_MAX ? knowledge.load : null
}

export function offerOf({ knowledge }: Candidate): ModelOffer | null {
  return knowledge.state === 'known' ? knowledge.offer : null
}

/** Canonical bytes known or expected to be resident, and the tier number there (0: nowhere). */
export function matchOf({ knowledge, speculativeBytes }: Candidate): { bytes: number; tier: number } {
  const known = knowledge.state === 'known' ? knowledge.matchedBytes : 0
  if (speculativeBytes > known) return { bytes: speculativeBytes, tier: 1 }
  return { bytes: known, tier: knowledge.state === 'known' ? knowledge.tier : 0 }
}

/** Canonical bytes of the prompt that are resident in the cluster that holds most of it. */
export function deepestBytes(candidates: readonly Candidate[]): number {
  return Math.max(0, ...candidates.map((candidate) => matchOf(candidate).bytes))
}
