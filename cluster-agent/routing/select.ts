/**
 * The choice inside a cluster: the pair of a prefill and a decode endpoint with the lowest predicted milliseconds to the
 * first token. One endpoint for both saves the hand-off, so a separate prefill is chosen only when it pays.
 *
 *     cost(p, d) = backlog(p) + load(tiers) + prefill(rest) x shadow(u) + hand-off(p -> d) + first decode step(d)
 */
import { choose, type Choice, type Rule } from '../../core/choose.ts'
import { cheapestReuse, loadMs, shadowFactor, type MatchPart } from '../../core/cost-model.ts'
import { tierByNumber, TIERS } from '../../core/tiers.ts'
import type { MatchRun } from '../blocks/residency.ts'
import type { Endpoint, EndpointLoad } from './endpoint.ts'

/** How an endpoint stands towards one request. */
export interface Candidate {
  readonly endpoint: Endpoint
  readonly load: EndpointLoad
  readonly runs: readonly MatchRun[]
  /** Tokens of a prefix that was just routed here and is not confirmed yet; it counts as on the GPU. */
  readonly speculativeTokens: number
  /** Why it takes no request now, or null. */
  readonly unavailable: string | null
}

export interface RequestSize {
  readonly promptTokens: number
  readonly outputTokensMax: number
  readonly kvBytesPerToken: number
  readonly blockTokens: number
  /** false: prefill and decode must be one endpoint. */
  readonly isSplittable: boolean
}

export interface Pair {
  readonly prefill: Candidate
  readonly decode: Candidate
  readonly queueMs: number
  readonly loadMs: number
  readonly prefillMs: number
  readonly shadowMs: number
  readonly handoffMs: number
  readonly stepMs: number
  readonly reusedTokens: number
  readonly tier: string | null
}

/** Milliseconds to the first token: all terms but the shadow price, which is not waited for. */
export function predictedMs(pair: Pair): number {
  return pair.queueMs + pair.loadMs + pair.prefillMs + pair.handoffMs + pair.stepMs
}

/** Decode endpoints leave prefill to those made for it unless that costs this much more: their sequences would stall. */
export const DECODE_DISTURBANCE_SHARE = 0.5

export function selectPair(candidates: readonly Candidate[], size: RequestSize): Choice<Pair> {
  const hasDecoders = candidates.some(
    ({ endpoint, unavailable }) => !unavailable && endpoint.role !== 'prefill',
  )
  const pairs = candidates.flatMap((prefill) => {
    const leg = pricePrefill(prefill, size)
    return candidates.map((decode) => pricePair(prefill, decode, leg, size))
  })
  const rules: Rule<Pair>[] = [
    ({ prefill }) => prefill.unavailable,
    ({ decode }) => decode.unavailable,
    ({ decode }) => (hasDecoders && decode.endpoint.role === 'prefill' ? 'prefill-only' : null),
    ({ prefill, decode }) =>
      prefill !== decode && prefill.endpoint.role === 'decode' ? 'decode-only' : null,
    ({ prefill, decode }) =>
      prefill.endpoint.version === decode.endpoint.version ? null : 'version-mismatch',
    ({ prefill, decode }) => (size.isSplittable || prefill === decode ? null : 'several-sequences'),
  ]
  const costMs = (pair: Pair) => predictedMs(pair) + pair.shadowMs + disturbanceMs(pair)
  const fitting = choose(pairs, [...rules, ({ decode }) => (fits(decode, size) ? null : 'too-long')], costMs)
  // The length is an estimate: when it fits nowhere, an engine that counted says so better than we.
  return fitting.ranked.length > 0 ? fitting : choose(pairs, rules, costMs)
}

type PrefillLeg = Pick<Pair, 'queueMs' | 'loadMs' | 'prefillMs' | 'shadowMs' | 'reusedTokens' | 'tier'>

function pricePrefill({ endpoint, load, runs, speculativeTokens }: Candidate, size: RequestSize): PrefillLeg {
  const { profile } = endpoint
  const parts = runs.map((run) => toPart(run, endpoint, size.blockTokens))
  const known = parts.reduce((sum, { tokens }) => sum + tokens, 0)
  const reuse = cheapestReuse(
    profile.prefill,
    size.kvBytesPerToken,
    size.promptTokens,
    speculativeTokens > known
      ? [{ tier: TIERS[0].name, tokens: speculativeTokens, cost: TIERS[0].cost }]
      : parts,
  )
  return {
    queueMs: load.backlogMs,
    loadMs: reuse.loadMs,
    prefillMs: reuse.prefillMs,
    shadowMs: reuse.prefillMs * (shadowFactor(load.kvPressure) - 1),
    reusedTokens: reuse.reusedTokens,
    tier: reuse.tier,
  }
}

function pricePair(prefill: Candidate, decode: Candidate, leg: PrefillLeg, size: RequestSize): Pair {
  const { profile } = decode.endpoint
  const stepMs = profile.decodeStepMs + profile.decodeMsPerSequence * decode.load.decoding
  if (prefill === decode) {
    // Each chunk of the prefill shares its step with the sequences that decode here.
    const chunks = Math.ceil((size.promptTokens - leg.reusedTokens) / profile.batchTokensMax)
    return { prefill, decode, ...leg, handoffMs: 0, stepMs: decode.load.decoding > 0 ? stepMs * chunks : 0 }
  }
  const held = decode.runs[0]?.tier === TIERS[0].number ? decode.runs[0].blocks * size.blockTokens : 0
  const bytes = Math.max(size.promptTokens - held, 0) * size.kvBytesPerToken
  return { prefill, decode, ...leg, handoffMs: loadMs(profile.transfer, Math.max(bytes, 1)), stepMs }
}

/** Prefill on a decode endpoint holds up the sequences there. */
function disturbanceMs({ prefill, prefillMs, decode }: Pair): number {
  const disturbs = prefill.endpoint.role === 'decode' && decode.load.decoding > 0
  return disturbs ? prefillMs * DECODE_DISTURBANCE_SHARE : 0
}

function toPart(run: MatchRun, { profile }: Endpoint, blockTokens: number): MatchPart {
  const tier = tierByNumber(run.tier) ?? TIERS[0]
  return { tier: tier.name, tokens: run.blocks * blockTokens, cost: profile.tiers[tier.name] ?? tier.cost }
}

function fits({ endpoint }: Candidate, size: RequestSize): boolean {
  return size.promptTokens <= endpoint.profile.kvTokens
}
