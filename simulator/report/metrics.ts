/** What a run measured, from its outcomes. Requests that were never served count with the time they had waited. */
import type { Outcome, TtftSplit } from '../world/request.ts'

export interface Metrics {
  readonly requests: number
  readonly lost: number
  readonly broken: number
  readonly ttftMs: Quantiles
  /** Of the tenth of the requests with the longest prompts. */
  readonly longPromptTtftP90Ms: number
  readonly tpotMs: { readonly p50: number; readonly p90: number }
  readonly endToEndMs: { readonly p50: number; readonly p90: number; readonly p99: number }
  /** From the first arrival to the last token. */
  readonly outputTokensPerS: number
  readonly hitShare: { readonly gpu: number; readonly lower: number }
  /** Means over the served; they add up to the mean TTFT. */
  readonly split: TtftSplit
  /** Served in another region than the caller's. */
  readonly awayShare: number
  readonly preemptions: number
  /** Median of |predicted - actual| / actual; null without predictions. */
  readonly predictionErrorShare: number | null
  /** Jain's index over tenants of mean TTFT per prompt token; 1 is even. */
  readonly fairness: number
}

export interface Quantiles {
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly p95: number
  readonly p99: number
}

export function measure(outcomes: readonly Outcome[], regionOf: (cluster: number) => number): Metrics {
  const served = outcomes.filter(({ state }) => state !== 'lost')
  const ttfts = sorted(outcomes.map(({ ttftMs }) => ttftMs))
  const prompts = outcomes.toSorted((a, b) => b.request.promptTokens - a.request.promptTokens)
  const longest = prompts.slice(0, Math.max(Math.ceil(prompts.length / 10), 1))
  const promptTokens = sum(served.map(({ request }) => request.promptTokens))
  const firstMs = Math.min(...range(outcomes, ({ sentMs }) => sentMs))
  const lastMs = Math.max(...range(outcomes, ({ sentMs, endToEndMs }) => sentMs + endToEndMs))
  const outputTokens = sum(served.map(({ request }) => request.outputTokens))
  const predicted = served.flatMap(({ predictedMs, ttftMs }) =>
    predictedMs === null || ttftMs <= 0 ? [] : [Math.abs(predictedMs - ttftMs) / ttftMs],
  )
  const tpots = sorted(served.map(({ tpotMs }) => tpotMs))
  const ends = sorted(outcomes.map(({ endToEndMs }) => endToEndMs))
  return {
    requests: outcomes.length,
    lost: outcomes.filter(({ state }) => state === 'lost').length,
    broken: outcomes.filter(({ state }) => state === 'broken').length,
    ttftMs: {
      mean: mean(ttfts),
      p50: quantile(ttfts, 0.5),
      p90: quantile(ttfts, 0.9),
      p95: quantile(ttfts, 0.95),
      p99: quantile(ttfts, 0.99),
    },
    longPromptTtftP90Ms: quantile(sorted(longest.map(({ ttftMs }) => ttftMs)), 0.9),
    tpotMs: { p50: quantile(tpots, 0.5), p90: quantile(tpots, 0.9) },
    endToEndMs: { p50: quantile(ends, 0.5), p90: quantile(ends, 0.9), p99: quantile(ends, 0.99) },
    outputTokensPerS: lastMs > firstMs ? (outputTokens / (lastMs - firstMs)) * 1000 : 0,
    hitShare: {
      gpu: ratio(sum(served.map(({ gpuTokens }) => gpuTokens)), promptTokens),
      lower: ratio(sum(served.map(({ lowerTokens }) => lowerTokens)), promptTokens),
    },
    split: meanSplit(served.map(({ split }) => split)),
    awayShare: ratio(
      served.filter(({ request, cluster }) => regionOf(cluster) !== request.region).length,
      served.length,
    ),
    preemptions: sum(outcomes.map(({ preemptions }) => preemptions)),
    predictionErrorShare: predicted.length === 0 ? null : quantile(sorted(predicted), 0.5),
    fairness: jain(served),
  }
}

function meanSplit(splits: readonly TtftSplit[]): TtftSplit {
  const of = (term: keyof TtftSplit) => mean(splits.map((split) => split[term]))
  return {
    rttMs: of('rttMs'),
    queueMs: of('queueMs'),
    loadMs: of('loadMs'),
    prefillMs: of('prefillMs'),
    handoffMs: of('handoffMs'),
  }
}

function jain(outcomes: readonly Outcome[]): number {
  const tenants = new Map<number, { ms: number; tokens: number }>()
  for (const { request, ttftMs } of outcomes) {
    const entry = tenants.get(request.tenant) ?? { ms: 0, tokens: 0 }
    entry.ms += ttftMs
    entry.tokens += request.promptTokens
    tenants.set(request.tenant, entry)
  }
  const paces = [...tenants.values()].map(({ ms, tokens }) => ms / Math.max(tokens, 1))
  const squares = sum(paces.map((pace) => pace * pace))
  return squares === 0 ? 1 : sum(paces) ** 2 / (paces.length * squares)
}

/** The smallest value with at least the share `q` of all values at or below it; 0 of nothing. */
export function quantile(ascending: readonly number[], q: number): number {
  return ascending[Math.max(Math.ceil(ascending.length * q) - 1, 0)] ?? 0
}

export function mean(values: readonly number[]): number {
  return ratio(sum(values), values.length)
}

function sorted(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b)
}

function sum(values: readonly number[]): number {
  let total = 0
  for (const value of values) total += value
  return total
}

function ratio(a: number, b: number): number {
  return b === 0 ? 0 : a / b
}

/** Extremes without spreading a long list over the stack. */
function range<T>(items: readonly T[], of: (item: T) => number): [number, number] {
  let least = Infinity
  let most = -Infinity
  for (const item of items) {
    least = Math.min(least, of(item))
    most = Math.max(most, of(item))
  }
  return [least, most]
}
