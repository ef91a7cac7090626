/** A choice as plain data, for inspection and logs: which pairs were named at what price, and who was out. No prompt text. */
import type { RequestSize } from './candidate.ts'
import { predictedMs, type Pair, type PairChoice } from './select.ts'

export interface PairExplanation {
  readonly prefill: string
  readonly decode: string
  readonly source: string | null
  readonly tier: string | null
  readonly matchedTokens: number
  readonly costMs: number
  readonly predictedMs: number
  readonly terms: Readonly<Record<string, number>>
}

export interface ChoiceExplanation {
  readonly promptTokens: number
  readonly answerTokens: number
  /** Cheapest first. */
  readonly pairs: readonly PairExplanation[]
  readonly rejected: readonly { readonly endpoint: string; readonly reason: string }[]
}

export function explainChoice({ ranked, rejected }: PairChoice, size: RequestSize): ChoiceExplanation {
  return {
    promptTokens: size.promptTokens,
    answerTokens: size.answerTokens,
    pairs: ranked.map(({ candidate, costMs }) => explainPair(candidate, costMs)),
    rejected: rejected.map(({ candidate, reason }) => ({ endpoint: candidate.endpoint.name, reason })),
  }
}

function explainPair(pair: Pair, costMs: number): PairExplanation {
  const { prefill, decode, source, tier, reusedTokens, ...terms } = pair
  return {
    prefill: prefill.endpoint.name,
    decode: decode.endpoint.name,
    source: source?.endpoint.name ?? null,
    tier,
    matchedTokens: reusedTokens,
    costMs,
    predictedMs: predictedMs(pair),
    terms,
  }
}
