/** What of a trace one cache without limits would hold, in whole blocks and the order of arrival. */
import { quantile } from '../report/metrics.ts'
import { sessionOf, type PlayedRequest } from '../workload/trace.ts'

export interface TraceFacts {
  readonly requests: number
  readonly minutes: number
  readonly requestsPerS: number
  readonly sessions: number
  readonly promptTokens: { readonly p50: number; readonly p90: number; readonly p99: number }
  readonly outputTokens: { readonly p50: number; readonly p90: number }
  /** Of all prompt tokens, 0 to 1: those that an earlier request had as its prefix too. */
  readonly reusableShare: number
  /** Of the reusable tokens, those that the same session had last. */
  readonly sameSessionShare: number
  /** Seconds since a reusable token was last asked for, by tokens. */
  readonly reuseAgeS: { readonly p50: number; readonly p90: number }
  /** Tokens of distinct blocks: what a cache without limits would grow to. */
  readonly distinctTokens: number
}

/** Reusable tokens of each request, in the order given. */
export interface Reuse {
  readonly facts: TraceFacts
  readonly reusedTokens: readonly number[]
}

export function measureReuse(requests: readonly PlayedRequest[], blockTokens: number): Reuse {
  const last = new Map<number, { atMs: number; session: number }>()
  const ages = new Map<number, number>()
  const sessions = new Set<number>()
  const reusedTokens: number[] = []
  let sameSession = 0
  for (const request of requests) {
    const session = sessionOf(request)
    sessions.add(session)
    const full = Math.floor(request.inputTokens / blockTokens)
    let reused = 0
    let isWhole = true
    for (const [index, id] of request.blockIds.entries()) {
      const before = last.get(id)
      isWhole &&= before !== undefined && index < full
      if (before && isWhole) {
        reused++
        const ageS = Math.round((request.timestampMs - before.atMs) / 1000)
        ages.set(ageS, (ages.get(ageS) ?? 0) + 1)
        if (before.session === session) sameSession++
      }
      if (isHeldBlock(request, index, blockTokens)) last.set(id, { atMs: request.timestampMs, session })
    }
    reusedTokens.push(reused * blockTokens)
  }
  const prompts = sorted(requests.map(({ inputTokens }) => inputTokens))
  const outputs = sorted(requests.map(({ outputTokens }) => outputTokens))
  const reusedAll = reusedTokens.reduce((sum, tokens) => sum + tokens, 0)
  const lastMs = requests.at(-1)?.timestampMs ?? 0
  return {
    reusedTokens,
    facts: {
      requests: requests.length,
      minutes: lastMs / 60_000,
      requestsPerS: lastMs === 0 ? 0 : (requests.length / lastMs) * 1000,
      sessions: sessions.size,
      promptTokens: {
        p50: quantile(prompts, 0.5),
        p90: quantile(prompts, 0.9),
        p99: quantile(prompts, 0.99),
      },
      outputTokens: { p50: quantile(outputs, 0.5), p90: quantile(outputs, 0.9) },
      reusableShare:
        reusedAll /
        Math.max(
          prompts.reduce((sum, tokens) => sum + tokens, 0),
          1,
        ),
      sameSessionShare: reusedAll === 0 ? 0 : (sameSession * blockTokens) / reusedAll,
      reuseAgeS: { p50: weighted(ages, 0.5), p90: weighted(ages, 0.9) },
      distinctTokens: last.size * blockTokens,
    },
  }
}

/** Full blocks stay in a cache: those of the prompt, and of the answer where it is known. */
function isHeldBlock(
  { inputTokens, outputTokens, knowsAnswer }: PlayedRequest,
  index: number,
  blockTokens: number,
) {
  return (index + 1) * blockTokens <= inputTokens + (knowsAnswer ? outputTokens : 0)
}

/** The quantile of values that are counted rather than listed. */
function weighted(counts: ReadonlyMap<number, number>, q: number): number {
  const ascending = [...counts].toSorted(([a], [b]) => a - b)
  const total = ascending.reduce((sum, [, count]) => sum + count, 0)
  let seen = 0
  for (const [value, count] of ascending) {
    seen += count
    if (seen >= total * q) return value
  }
  return 0
}

function sorted(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b)
}
