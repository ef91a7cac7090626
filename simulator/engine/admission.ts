/** What admission decides for one request: which part of its prompt is cached, loaded, or computed, and what it counts. */
import { loadMs } from '../../core/cost-model.ts'
import type { EngineCounters } from './counters.ts'
import type { PrefixMatch } from './kv-space.ts'
import type { EngineProfile } from './profile.ts'
import type { LoadSource, Sequence } from './sequence.ts'

/** Plans a pinned sequence on its first admission. After a preemption nothing is loaded again: it computes. */
export function planAdmission(
  sequence: Sequence,
  match: PrefixMatch,
  profile: EngineProfile,
  counters: EngineCounters,
  nowMs: number,
): void {
  sequence.computed = match.gpuBlocks.length * profile.blockTokens
  sequence.loadedTokens = 0
  if (sequence.isAdmitted) return
  sequence.isAdmitted = true
  sequence.admittedMs = nowMs
  const { remote } = sequence.request
  if (remote !== null) {
    sequence.loadSource = 'remote'
    sequence.loadedTokens = sequence.promptTokens - sequence.computed
    sequence.cachedTokens = remote.cachedTokens
    counters.remoteTokens += sequence.loadedTokens
  } else {
    sequence.loadSource = match.dramBlocks > 0 ? 'dram' : null
    sequence.loadedTokens = match.dramBlocks * profile.blockTokens
    sequence.cachedTokens = sequence.computed + sequence.loadedTokens
    counters.dramTokens += sequence.loadedTokens
  }
  counters.promptTokens += sequence.promptTokens
  counters.prefixQueries += sequence.promptTokens
  counters.prefixHits += sequence.computed
  counters.cachedTokens += sequence.cachedTokens
}

/** How long `tokens` tokens of KV take to come from `source`, unscaled. */
export function loadDurationMs(profile: EngineProfile, source: LoadSource, tokens: number): number {
  const cost = source === 'dram' ? { floorMs: 0, bytesPerMs: profile.cpuBytesPerMs } : profile.transfer
  return loadMs(cost, tokens * profile.kvBytesPerToken)
}
