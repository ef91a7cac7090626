/**
 * The choice inside a cluster: the pair of a prefill and a decode endpoint with the lowest price, and whose KV it starts
 * from. One endpoint for both saves the hand-off, so a separate prefill is chosen only when it pays.
 *
 *     predicted(p, d) = queue + space + adapter + load + prefill(rest) + decode share at p, hand-off and first step at d
 *     price(p, d)     = predicted + prefill(rest) x shadow + disturbance of d + lateness beyond what the policy asks
 *
 * The disturbance of a hand-off is that of longer steps. Hand-offs take nearly the same time everywhere, so without it the
 * endpoint whose transfers were learnt a little faster gets them all until its KV space is full (`npm run sim -- run split`).
 */
import type { Priced } from '../../core/choose.ts'
import { disturbanceMs, KV_SHADOW_WEIGHT } from '../../core/cost-model.ts'
import type { Candidate, PriceWeights, RequestSize } from './candidate.ts'
import { priceDecode, type DecodeLeg } from './decode-leg.ts'
import { disturbanceOf } from './endpoint.ts'
import { pricePrefill, pullSources, type PrefillLeg } from './prefill-leg.ts'

export const PRICE_WEIGHTS: PriceWeights = {
  kvShadow: KV_SHADOW_WEIGHT,
  disturbance: 0.5,
  lateness: 1,
  pace: 0.2,
}

/** Pairs that a choice names, the cheapest and its fallbacks. */
export const RANKED_MAX = 8

export interface Pair {
  readonly prefill: Candidate
  readonly decode: Candidate
  /** The peer whose tier the prefix is pulled out of, or null. */
  readonly source: Candidate | null
  readonly queueMs: number
  readonly kvWaitMs: number
  readonly adapterMs: number
  readonly loadMs: number
  readonly prefillMs: number
  readonly shareMs: number
  readonly handoffMs: number
  readonly stepMs: number
  readonly shadowMs: number
  readonly disturbanceMs: number
  readonly sloMs: number
  readonly reusedTokens: number
  readonly tier: string | null
}

export interface PairChoice {
  /** Cheapest first, at most `RANKED_MAX`. Empty when no pair is allowed. */
  readonly ranked: readonly Priced<Pair>[]
  readonly rejected: readonly { readonly candidate: Candidate; readonly reason: string }[]
}

/** Milliseconds to the first token: all terms that are waited for. */
export function predictedMs(pair: Pair): number {
  const { queueMs, kvWaitMs, adapterMs, loadMs, prefillMs, shareMs, handoffMs, stepMs } = pair
  return queueMs + kvWaitMs + adapterMs + loadMs + prefillMs + shareMs + handoffMs + stepMs
}

/** What the request takes of the engines' time: its prefill, and what its answer adds to the decode steps. */
export function gpuMs(pair: Pair, size: RequestSize): number {
  const { decodeMsPerSequence, decodeMsPerContextToken = 0 } = pair.decode.endpoint.profile
  const tokenMs = decodeMsPerSequence + decodeMsPerContextToken * size.promptTokens
  return pair.loadMs + pair.prefillMs + size.answerTokens * tokenMs
}

export function selectPair(
  candidates: readonly Candidate[],
  size: RequestSize,
  weights: PriceWeights = PRICE_WEIGHTS,
): PairChoice {
  const open = candidates.filter(({ unavailable }) => unavailable === null)
  const rejected = candidates.flatMap((candidate) =>
    candidate.unavailable === null ? [] : [{ candidate, reason: candidate.unavailable }],
  )
  const hasDecoders = open.some(({ endpoint }) => endpoint.role !== 'prefill')
  const sources = pullSources(open)
  const prefills = open.map((candidate) => pricePrefill(candidate, size, sources, weights))
  // A prefill leg whose KV is handed over cannot pull as well: its request has one set of transfer params.
  const handing =
    sources.length === 0 ? prefills : open.map((candidate) => pricePrefill(candidate, size, [], weights))
  const decodes = open
    .filter(({ endpoint }) => !hasDecoders || endpoint.role !== 'prefill')
    .map((candidate) => priceDecode(candidate, size, weights))
  const fitting = decodes.filter(({ fits }) => fits)
  const ranked = rank(prefills, handing, fitting, size, weights)
  // The length is an estimate: when it fits nowhere, an engine that counted says so better than we.
  return { ranked: ranked.length > 0 ? ranked : rank(prefills, handing, decodes, size, weights), rejected }
}

/**
 * The cheapest pairs. Legs are taken cheapest first, and a pair costs at least what its legs do: the rest is left out as
 * soon as it cannot be among them. Only pairs that are named become objects; a price that is not finite names nobody.
 */
function rank(
  prefills: readonly PrefillLeg[],
  handing: readonly PrefillLeg[],
  decodes: readonly DecodeLeg[],
  size: RequestSize,
  weights: PriceWeights,
): Priced<Pair>[] {
  const top: Ranked[] = []
  const decodeOf = new Map(decodes.map((d) => [d.candidate, d]))
  for (const p of prefills) {
    const d = decodeOf.get(p.candidate)
    if (d) insert(top, p, d, pairCostMs(p, d, size, weights))
  }
  if (size.isSplittable) {
    const tails = decodes.filter((d) => Number.isFinite(leastMs(d))).sort((a, b) => leastMs(a) - leastMs(b))
    const tailMs = tails[0] ? leastMs(tails[0]) : 0
    for (const p of handing.filter(mayHandOver).sort((a, b) => legMs(a) - legMs(b))) {
      if (!isWorth(top, legMs(p) + tailMs)) break
      for (const d of tails) {
        if (!isWorth(top, legMs(p) + leastMs(d))) break
        if (mayPair(p.candidate, d.candidate)) insert(top, p, d, pairCostMs(p, d, size, weights))
      }
    }
  }
  return top.map(({ costMs, p, d }) => ({ costMs, candidate: toPair(p, d, size, weights) }))
}

interface Ranked {
  readonly costMs: number
  readonly p: PrefillLeg
  readonly d: DecodeLeg
}

function isWorth(top: readonly Ranked[], costMs: number): boolean {
  const worst = top[RANKED_MAX - 1]
  return !worst || costMs < worst.costMs
}

function insert(top: Ranked[], p: PrefillLeg, d: DecodeLeg, costMs: number): void {
  if (!Number.isFinite(costMs) || !isWorth(top, costMs)) return
  let at = top.length
  while (at > 0 && (top[at - 1]?.costMs ?? 0) > costMs) at--
  top.splice(at, 0, { costMs, p, d })
  if (top.length > RANKED_MAX) top.pop()
}

/** What each leg adds to every pair of two endpoints that it is part of. */
function legMs({ predictedMs, shadowMs }: PrefillLeg): number {
  return predictedMs + shadowMs
}

function leastMs({ handoffMs, adapterMs, stepMs, slownessMs, paceMs }: DecodeLeg): number {
  return handoffMs + adapterMs + stepMs + slownessMs + paceMs
}

/** Decode endpoints prefill for themselves only. */
function mayHandOver(p: PrefillLeg): boolean {
  return p.candidate.endpoint.role !== 'decode' && Number.isFinite(legMs(p))
}

/** Whether two legs may meet: engines of different versions cannot hand over to each other. */
function mayPair(p: Candidate, d: Candidate): boolean {
  return p !== d && p.endpoint.version === d.endpoint.version
}

function pairCostMs(p: PrefillLeg, d: DecodeLeg, size: RequestSize, weights: PriceWeights): number {
  const ms = predictedPairMs(p, d)
  return ms + p.shadowMs + disturbedMs(p, d, weights) + d.paceMs + latenessMs(ms, size, weights)
}

function predictedPairMs(p: PrefillLeg, d: DecodeLeg): number {
  if (p.candidate === d.candidate) return p.predictedMs
  return p.predictedMs + remainingWaitMs(p, d) + d.handoffMs + remainingQueueMs(p, d) + d.adapterMs + d.stepMs
}

/** While the prompt is prefilled elsewhere, space comes free at the decode endpoint. */
function remainingWaitMs(p: PrefillLeg, d: DecodeLeg): number {
  return Math.max(d.kvWaitMs - p.predictedMs, 0)
}

/** The decode endpoint works off its own prefill while the prompt is prefilled elsewhere and handed over. */
function remainingQueueMs(p: PrefillLeg, d: DecodeLeg): number {
  return Math.max(d.queueMs - p.predictedMs - d.handoffMs, 0)
}

function disturbedMs(p: PrefillLeg, d: DecodeLeg, { disturbance }: PriceWeights): number {
  const { endpoint, load } = d.candidate
  if (p.candidate !== d.candidate) return d.slownessMs
  if (endpoint.role !== 'decode') return 0
  return disturbanceMs(disturbanceOf(endpoint.profile, load, disturbance), p.prefillMs)
}

function latenessMs(ms: number, { sloTtftMs }: RequestSize, { lateness }: PriceWeights): number {
  return sloTtftMs ? Math.max(ms - sloTtftMs, 0) * lateness : 0
}

function toPair(p: PrefillLeg, d: DecodeLeg, size: RequestSize, weights: PriceWeights): Pair {
  const isSplit = p.candidate !== d.candidate
  return {
    prefill: p.candidate,
    decode: d.candidate,
    source: p.source,
    queueMs: p.queueMs + (isSplit ? remainingQueueMs(p, d) : 0),
    kvWaitMs: p.kvWaitMs + (isSplit ? remainingWaitMs(p, d) : 0),
    adapterMs: p.adapterMs + (isSplit ? d.adapterMs : 0),
    loadMs: p.loadMs,
    prefillMs: p.prefillMs,
    shareMs: p.shareMs,
    handoffMs: isSplit ? d.handoffMs : 0,
    stepMs: isSplit ? d.stepMs : 0,
    shadowMs: p.shadowMs,
    disturbanceMs: disturbedMs(p, d, weights),
    sloMs: d.paceMs + latenessMs(predictedPairMs(p, d), size, weights),
    reusedTokens: p.reusedTokens,
    tier: p.tier,
  }
}
