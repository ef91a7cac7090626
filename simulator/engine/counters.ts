/** Running totals of one engine, as its metrics report them. */
import type { FinishReason } from './sequence.ts'

export interface EngineCounters {
  steps: number
  promptTokens: number
  /** Tokens asked of the GPU prefix cache, and found there. */
  prefixQueries: number
  prefixHits: number
  dramTokens: number
  remoteTokens: number
  /** Prompt tokens that needed no computing, from wherever. */
  cachedTokens: number
  generatedTokens: number
  preemptions: number
  finished: Record<FinishReason | 'abort' | 'error', number>
}

export function zeroCounters(): EngineCounters {
  return {
    steps: 0,
    promptTokens: 0,
    prefixQueries: 0,
    prefixHits: 0,
    dramTokens: 0,
    remoteTokens: 0,
    cachedTokens: 0,
    generatedTokens: 0,
    preemptions: 0,
    finished: { stop: 0, length: 0, abort: 0, error: 0 },
  }
}
