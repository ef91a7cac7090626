/** What happened at an engine between two looks at its metrics; a verdict when that cannot be. */
import type { CostSample } from './cost-metrics.ts'

export interface MetricsWindow {
  readonly spanMs: number
  readonly computedTokens: number
  readonly generatedTokens: number
  readonly finished: number
  /** Gaps between tokens of one sequence, and their sum: the time that sequences spent decoding. */
  readonly gaps: number
  readonly gapSumMs: number
  readonly loadBytes: number
  readonly loadMs: number
  readonly pullBytes: number
  readonly pullMs: number
}

export type WindowVerdict =
  | { readonly kind: 'window'; readonly window: MetricsWindow }
  /** Another process answers, or too much or too little time has passed. */
  | { readonly kind: 'restart' }
  | { readonly kind: 'unclear' }
  | { readonly kind: 'impossible' }

const SPAN_MS_MIN = 100
const SPAN_MS_MAX = 60_000
/** No engine does more in a millisecond. */
const TOKENS_PER_MS_MAX = 5000

export function windowBetween(before: CostSample, after: CostSample, spanMs: number): WindowVerdict {
  if (before.startS !== after.startS) return { kind: 'restart' }
  if (!isPossible(before) || !isPossible(after)) return { kind: 'impossible' }
  if (!(spanMs >= SPAN_MS_MIN && spanMs <= SPAN_MS_MAX)) return { kind: 'unclear' }
  const more = (key: keyof CostSample) => Number(after[key] ?? 0) - Number(before[key] ?? 0)
  const window = {
    spanMs,
    computedTokens: more('computedTokens'),
    generatedTokens: more('generatedTokens'),
    finished: more('finished'),
    gaps: more('gaps'),
    gapSumMs: more('gapSumS') * 1000,
    loadBytes: more('loadBytes'),
    loadMs: more('loadS') * 1000,
    pullBytes: more('pullBytes'),
    pullMs: more('pullS') * 1000,
  }
  const isRising = Object.values(window).every((value) => value >= 0 && Number.isFinite(value))
  const isPlausible = window.computedTokens + window.generatedTokens <= spanMs * TOKENS_PER_MS_MAX
  return isRising && isPlausible ? { kind: 'window', window } : { kind: 'impossible' }
}

function isPossible({ running, waiting, kvUsage }: CostSample): boolean {
  const isCount = (value: number | null) => value === null || (value >= 0 && value < 1e6)
  return isCount(running) && isCount(waiting) && (kvUsage === null || (kvUsage >= 0 && kvUsage <= 1.001))
}
