/**
 * How long one step takes. The chunks of a prompt add up to `prefillMs` of core/cost-model.ts; decoding sequences in
 * the same step add their share. The pass over the weights counts once: as the prefill's fixed part, or as `stepMs`.
 */
import type { EngineProfile } from './profile.ts'

/** What one step works on. */
export interface StepWork {
  /** Whether a prompt starts in this step. */
  hasPromptStart: boolean
  prefillTokens: number
  /** Pairs of a new token and a token before it. */
  prefillPairs: number
  decodes: number
  /** Sum of the contexts of the decoding sequences. */
  contextTokens: number
}

export function emptyWork(): StepWork {
  return { hasPromptStart: false, prefillTokens: 0, prefillPairs: 0, decodes: 0, contextTokens: 0 }
}

/** Adds `tokens` new tokens behind `computed`. A single token is a decode, also when it ends a prompt. */
export function addWork(work: StepWork, tokens: number, computed: number, isPromptStart: boolean): void {
  if (tokens === 1) {
    work.decodes++
    work.contextTokens += computed + 1
    return
  }
  work.hasPromptStart ||= isPromptStart
  work.prefillTokens += tokens
  work.prefillPairs += tokens * computed + (tokens * tokens) / 2
}

export function stepMs(profile: EngineProfile, work: StepWork): number {
  const { prefill, decode } = profile
  const base = work.hasPromptStart ? prefill.fixedMs : work.decodes > 0 ? decode.stepMs : 0
  return (
    base +
    work.prefillTokens * prefill.msPerToken +
    work.prefillPairs * prefill.msPerTokenPair +
    work.decodes * decode.msPerSequence +
    work.contextTokens * decode.msPerContextToken
  )
}
