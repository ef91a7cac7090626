/** What predicted milliseconds that drift mean, by name: a table of symptoms, each with what to look at. */
import type { ErrorSummary } from './prediction-errors.ts'

export interface Symptoms {
  readonly ttft: ErrorSummary
  /** Of what was learnt to what is configured: the farthest. */
  readonly profileFactor: number
  readonly impossibleSamples: number
  readonly samples: number
  /** Sequences at the engine that did not come from this agent, for a while. */
  readonly foreign: number
}

export const DIAGNOSES = {
  'slower-than-predicted':
    'First tokens come later than predicted though the law was learnt: throttling, or load from elsewhere.',
  'faster-than-predicted':
    'First tokens come earlier than predicted: the engine was resized, or load is booked that is not there.',
  unpredictable:
    'Single predictions are far off while their middle is right: prompts are estimated badly, or load is bursty.',
  'profile-far-off':
    'The configured profile is several times off what was learnt: it is that of other hardware.',
  'foreign-load':
    'The engine serves requests that this agent did not send: another router stands in front of it.',
  'impossible-metrics': 'Metrics of the engine cannot be true; they are not learnt from.',
} as const
export type Diagnosis = keyof typeof DIAGNOSES

/** Fewer requests than this say nothing. */
const SAMPLES_MIN = 32
const RATIO_MAX = 1.5
const SCATTER_MAX = 4
const PROFILE_FACTOR_MAX = 4
const IMPOSSIBLE_SHARE_MAX = 0.2

export function diagnose({
  ttft,
  profileFactor,
  impossibleSamples,
  samples,
  foreign,
}: Symptoms): Diagnosis[] {
  const found: Diagnosis[] = []
  if (ttft.samples >= SAMPLES_MIN) {
    if (ttft.medianRatio > RATIO_MAX) found.push('slower-than-predicted')
    else if (ttft.medianRatio < 1 / RATIO_MAX) found.push('faster-than-predicted')
    else if (ttft.p90Factor > SCATTER_MAX) found.push('unpredictable')
  }
  if (profileFactor > PROFILE_FACTOR_MAX || profileFactor < 1 / PROFILE_FACTOR_MAX)
    found.push('profile-far-off')
  if (foreign > 0) found.push('foreign-load')
  if (impossibleSamples > 2 && impossibleSamples > IMPOSSIBLE_SHARE_MAX * samples)
    found.push('impossible-metrics')
  return found
}
