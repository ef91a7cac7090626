/** What a run measured, from its outcomes. Requests that were never served count with the time they had waited. */
import { prefillMs } from '../../core/cost-model.ts'
import type { PrefillLaw } from '../../protocol/report.ts'
import type { Outcome, TtftSplit } from '../world/request.ts'
import type { WorldShape } from '../world/shape.ts'
import { wideAreaBytes } from './wide-area.ts'

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
  /** Served within the target, a second, from the first arrival to the last token. */
  readonly goodputPerS: number
  /** Of the requests of which an engine held a good part, those that were sent to one that held it; null without any. */
  readonly precision: number | null
  /** GPU milliseconds of prefill on an idle engine, a served request: what was computed, and what a cold cache makes it. */
  readonly prefillGpuMs: { readonly computed: number; readonly cold: number }
  /** Prompts and answers between regions, a served request. */
  readonly wideAreaBytes: number
}

/** What the outcomes of a run are judged by. */
export interface Yardstick {
  /** Index of a cluster's region. */
  readonly regionOf: (cluster: number) => number
  readonly lawOf: (endpoint: number) => PrefillLaw | null
  /** TTFT within which an answer counts as goodput. */
  readonly targetMs: number
}

export function yardstickOf({ clusters }: WorldShape, targetMs: number): Yardstick {
  const laws = clusters.flatMap(({ endpoints }) => endpoints.map(({ profile }) => profile.prefill))
  return {
    regionOf: (cluster) => clusters[cluster]?.region ?? -1,
    lawOf: (endpoint) => laws[endpoint] ?? null,
    targetMs,
  }
}

/** A request follows up when some engine holds so much of its prompt ... */
const FOLLOW_UP_SHARE = 0.25
/** ... and is sent precisely when its engine holds so much of the most that any holds. */
const PRECISE_SHARE = 0.8

export interface Quantiles {
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly p95: number
  readonly p99: number
}

export function measure(outcomes: readonly Outcome[], yardstick: Yardstick): Metrics {
  const { regionOf, targetMs } = yardstick
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
  const inTime = served.filter(({ state, ttftMs }) => state === 'served' && ttftMs <= targetMs)
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
    goodputPerS: lastMs > firstMs ? (inTime.length / (lastMs - firstMs)) * 1000 : 0,
    precision: precisionOf(outcomes),
    prefillGpuMs: prefillGpuMs(served, yardstick),
    wideAreaBytes: mean(served.map((outcome) => wideAreaBytes(outcome, regionOf))),
  }
}

function precisionOf(outcomes: readonly Outcome[]): number | null {
  const followUps = outcomes.filter(
    ({ request, warmth }) => warmth.longestBlocks > request.blocks.length * FOLLOW_UP_SHARE,
  )
  const precise = followUps.filter(({ warmth }) => warmth.heldBlocks >= warmth.longestBlocks * PRECISE_SHARE)
  return followUps.length === 0 ? null : precise.length / followUps.length
}

function prefillGpuMs(served: readonly Outcome[], { lawOf }: Yardstick): Metrics['prefillGpuMs'] {
  const of = (cachedOf: (outcome: Outcome) => number) =>
    mean(
      served.map((outcome) => {
        const law = lawOf(outcome.endpoint)
        const cached = cachedOf(outcome)
        return law === null ? 0 : prefillMs(law, outcome.request.promptTokens - cached, cached)
      }),
    )
  return { computed: of(({ gpuTokens, lowerTokens }) => gpuTokens + lowerTokens), cold: of(() => 0) }
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
