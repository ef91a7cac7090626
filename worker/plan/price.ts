/**
 * The price of a cluster: predicted milliseconds to the first token, seen from this edge. What a cluster does not say of
 * itself is borrowed from those that do, so that silence is neither an advantage nor a verdict.
 */
import { cheapestReuse, disturbanceMs, loadMs, shadowFactor } from '../../core/cost-model.ts'
import { tierByNumber } from '../../core/tiers.ts'
import type { TtftTerms } from '../../protocol/receipt.ts'
import type { ModelLoad, ModelOffer } from '../../protocol/report.ts'
import { cheapestDecoder } from './booked-queue.ts'
import { believedLoad, matchOf, offerOf, type Candidate } from './candidate.ts'

/**
 * Weight of the shadow price between clusters. An edge knows one endpoint's pressure of each, and a prompt that moves to
 * another region loses its prefix: less than inside a cluster, where it balances engines (`npm run sim -- run mooncake`).
 */
export const EDGE_SHADOW_WEIGHT = 0.1

/** What English costs under common tokenizers, for prompts of which nothing better is known. */
export const BYTES_PER_TOKEN_DEFAULT = 4

/** What stands in for clusters that say nothing, or nothing fresh. */
export interface Assumptions {
  readonly offer: ModelOffer | null
  readonly backlogMs: number
  readonly kvPressure: number
}

export interface PricedCandidate {
  readonly candidate: Candidate
  readonly terms: TtftTerms
  readonly matchedTokens: number
  readonly promptTokens: number
  /** Tier name of the match, `none` without one. */
  readonly tier: string
}

/** The means of the clusters that do speak. */
export function assumeFrom(candidates: readonly Candidate[]): Assumptions {
  const loads = candidates.flatMap((candidate) => believedLoad(candidate) ?? [])
  const mean = (values: readonly number[]) =>
    values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length
  return {
    offer: candidates.map(offerOf).find((offer) => offer !== null) ?? null,
    backlogMs: mean(loads.map(({ backlogMs }) => backlogMs)),
    kvPressure: mean(loads.map(({ kvPressure }) => kvPressure)),
  }
}

/** The price without the value of staying, which is a matter between candidates. */
export function priceCandidate(
  candidate: Candidate,
  promptBytes: number,
  assumptions: Assumptions,
): PricedCandidate {
  const offer = offerOf(candidate) ?? assumptions.offer
  const load = believedLoad(candidate)
  const bytesPerToken = load?.bytesPerToken ?? offer?.bytesPerToken ?? BYTES_PER_TOKEN_DEFAULT
  const promptTokens = Math.max(1, Math.ceil(promptBytes / bytesPerToken))
  const match = matchOf(candidate)
  const tier = tierByNumber(match.tier)
  const matchedTokens = tier ? Math.min(Math.floor(match.bytes / bytesPerToken), promptTokens) : 0
  const parts =
    tier && offer
      ? [{ tier: tier.name, tokens: matchedTokens, cost: offer.tiers[tier.name] ?? tier.cost }]
      : []
  const reuse = offer ? cheapestReuse(offer.prefill, offer.kvBytesPerToken, promptTokens, parts) : null
  const prefillMs = reuse?.prefillMs ?? 0
  const newBytes = (promptTokens - (reuse?.reusedTokens ?? 0)) * (offer?.kvBytesPerToken ?? 0)
  const handoffMs = handoffOf(load, newBytes)
  const place = cheapestPlace(candidate, load, prefillMs, handoffMs, assumptions)
  return {
    candidate,
    matchedTokens,
    promptTokens,
    tier: matchedTokens > 0 && tier ? tier.name : 'none',
    terms: sumTerms({
      rttMs: candidate.rttMs,
      queueMs: place.queueMs,
      loadMs: reuse?.loadMs ?? 0,
      prefillMs,
      handoffMs: place.handoffMs,
      shadowMs:
        place.disturbanceMs +
        prefillMs * (shadowFactor(load?.kvPressure ?? assumptions.kvPressure, EDGE_SHADOW_WEIGHT) - 1),
    }),
  }
}

/** Of so many bytes of KV: where a prefix is reused, the endpoint that decodes is taken to have it, too. */
function handoffOf(load: ModelLoad | null, bytes: number): number {
  // Params are exchanged even when nothing has to move.
  return load?.handoff ? loadMs(load.handoff, Math.max(bytes, 1)) : (load?.handoffMs ?? 0)
}

interface Place {
  readonly queueMs: number
  readonly handoffMs: number
  readonly disturbanceMs: number
}

/**
 * Where the agent would prefill: at the shortest queue of those made for it, or at an endpoint that decodes, which hands
 * nothing over and makes others wait.
 */
function cheapestPlace(
  { booked }: Candidate,
  load: ModelLoad | null,
  prefillMs: number,
  handoffMs: number,
  { backlogMs }: Assumptions,
): Place {
  const queueMs = (load?.backlogMs ?? backlogMs) + booked.prefillMs
  const decoders = load?.decoders ?? []
  const at = cheapestDecoder(decoders, booked.decodersMs, prefillMs, queueMs + handoffMs)
  const decoder = decoders[at]
  if (!decoder) return { queueMs, handoffMs, disturbanceMs: 0 }
  return {
    queueMs: decoder.backlogMs + (booked.decodersMs[at] ?? 0),
    handoffMs: 0,
    disturbanceMs: disturbanceMs(decoder, prefillMs),
  }
}

/** The terms with their total. */
export function sumTerms(terms: Omit<TtftTerms, 'totalMs'>): TtftTerms {
  const { rttMs, queueMs, loadMs, prefillMs, handoffMs, shadowMs } = terms
  const totalMs = rttMs + queueMs + loadMs + prefillMs + handoffMs + shadowMs
  return { rttMs, queueMs, loadMs, prefillMs, handoffMs, shadowMs, totalMs }
}

/** What the caller waits for: the price without what is priced but not waited for. */
export function predictedTtftMs({ totalMs, shadowMs }: TtftTerms): number {
  return totalMs - shadowMs
}
