/** What admission decides for one request: which part of its prompt is cached, loaded, or computed, and what it counts. */
import type { EngineCounters } from './counters.ts'
import type { PrefixMatch } from './kv-space.ts'
import type { EngineProfile } from './profile.ts'
import type { Sequence } from './sequence.ts'

/** Plans a pinned sequence on its first admission. After a preemption nothing is loaded again: it computes. */
export function planAdmission(
  sequence: Sequence<unknown>,
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
  sequence.loadedMs = nowMs
  const { remote } = sequence.request
  if (remote !== null) {
    const { tokens } = remote
    sequence.loadedTokens = Math.max((tokens ?? sequence.promptTokens) - sequence.computed, 0)
    sequence.loadSource = sequence.loadedTokens > 0 ? 'remote' : null
    sequence.cachedTokens =
      tokens === undefined ? remote.cachedTokens : sequence.computed + sequence.loadedTokens
    counters.remoteTokens += sequence.loadedTokens
  } else {
    sequence.tierTokens = match.tierBlocks.map((blocks) => blocks * profile.blockTokens)
    sequence.loadedTokens = sequence.tierTokens.reduce((sum, tokens) => sum + tokens, 0)
    sequence.loadSource = sequence.loadedTokens > 0 ? 'tiers' : null
    sequence.cachedTokens = sequence.computed + sequence.loadedTokens
    counters.dramTokens += sequence.loadedTokens
  }
  counters.promptTokens += sequence.promptTokens
  counters.prefixQueries += sequence.promptTokens
  counters.prefixHits += sequence.computed
  counters.cachedTokens += sequence.cachedTokens
}
