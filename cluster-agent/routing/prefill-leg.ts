/** What it costs to have a prompt's KV at one endpoint: queue, space, what is loaded or pulled, what is computed. */
import { cheapestReuse, shadowFactor, wholeReuse, type MatchPart, type Reuse } from '../../core/cost-model.ts'
import { tierByNumber, TIERS } from '../../core/tiers.ts'
import {
  adapterWaitMs,
  tokensOnGpu,
  type Candidate,
  type PriceWeights,
  type RequestSize,
} from './candidate.ts'
import { decodeShareMs, kvWaitMs, type Endpoint } from './endpoint.ts'

/** The tier's name when the prefix comes out of a peer. */
export const PEER_TIER = 'peer'
/** Peers that are worth a look: those with the longest prefixes. */
const SOURCES_MAX = 3

export interface PrefillLeg {
  readonly candidate: Candidate
  readonly queueMs: number
  /** Beyond the queue: until KV space for the prompt is free. */
  readonly kvWaitMs: number
  readonly adapterMs: number
  readonly loadMs: number
  readonly prefillMs: number
  /** What the sequences that decode here add to the steps of the prefill. */
  readonly shareMs: number
  /** Milliseconds until the prompt's KV is there: all of the above. */
  readonly predictedMs: number
  readonly shadowMs: number
  readonly reusedTokens: number
  readonly tier: string | null
  /** The peer whose tier the prefix is pulled out of. */
  readonly source: Candidate | null
}

/** Peers whose cached prefixes others can pull, longest first: who can pull can be pulled from. */
export function pullSources(candidates: readonly Candidate[]): readonly Candidate[] {
  const sources = candidates.filter(
    ({ endpoint, pullableTokens = 0 }) => pullableTokens > 0 && endpoint.profile.peerPull !== undefined,
  )
  return sources.length === 0
    ? sources
    : sources.toSorted((a, b) => (b.pullableTokens ?? 0) - (a.pullableTokens ?? 0)).slice(0, SOURCES_MAX)
}

export function pricePrefill(
  candidate: Candidate,
  size: RequestSize,
  sources: readonly Candidate[],
  weights: PriceWeights,
): PrefillLeg {
  const { endpoint, load } = candidate
  const { profile } = endpoint
  const { reuse, source } = cheapestSource(candidate, size, sources)
  const queueMs = load.backlogMs + decodeShareMs(profile, load, load.backlogTokens / profile.batchTokensMax)
  const steps = Math.ceil((size.promptTokens - reuse.reusedTokens) / profile.batchTokensMax)
  const shareMs = decodeShareMs(profile, load, steps)
  const neededTokens = size.promptTokens - tokensOnGpu(candidate, size)
  const waitMs = Math.max(kvWaitMs(profile, load, neededTokens) - queueMs, 0)
  const adapterMs = adapterWaitMs(candidate)
  return {
    candidate,
    queueMs,
    kvWaitMs: waitMs,
    adapterMs,
    loadMs: reuse.loadMs,
    prefillMs: reuse.prefillMs,
    shareMs,
    predictedMs: queueMs + waitMs + adapterMs + reuse.loadMs + reuse.prefillMs + shareMs,
    shadowMs: reuse.prefillMs * (shadowFactor(load.kvPressure, weights.kvShadow) - 1),
    reusedTokens: reuse.reusedTokens,
    tier: source ? PEER_TIER : reuse.tier,
    source,
  }
}

/** Its own tiers, or its GPU and the rest of a peer's longer prefix. */
function cheapestSource(
  candidate: Candidate,
  size: RequestSize,
  sources: readonly Candidate[],
): { readonly reuse: Reuse; readonly source: Candidate | null } {
  const { endpoint } = candidate
  const { prefill, loadsIfCheaper } = endpoint.profile
  const own = (loadsIfCheaper ? cheapestReuse : wholeReuse)(
    prefill,
    size.kvBytesPerToken,
    size.promptTokens,
    ownParts(candidate, size),
  )
  const { peerPull } = endpoint.profile
  let best = { reuse: own, source: null as Candidate | null }
  if (!peerPull) return best
  const here = tokensOnGpu(candidate, size)
  for (const source of sources) {
    const more = (source.pullableTokens ?? 0) - here
    if (more <= 0 || source === candidate || source.endpoint.version !== endpoint.version) continue
    const pulled = { tier: PEER_TIER, tokens: more, cost: peerPull }
    const held = { tier: TIERS[0].name, tokens: here, cost: TIERS[0].cost }
    const reuse = reuseOf(endpoint, size, here > 0 ? [held, pulled] : [pulled])
    // Only what was really taken from the peer makes it the source.
    if (reuse.tier === PEER_TIER && costOf(reuse) < costOf(best.reuse)) best = { reuse, source }
  }
  return best
}

function ownParts(candidate: Candidate, size: RequestSize): readonly MatchPart[] {
  const { endpoint, runs, speculativeTokens } = candidate
  const parts = runs.map((run): MatchPart => {
    const tier = tierByNumber(run.tier) ?? TIERS[0]
    const cost = endpoint.profile.tiers[tier.name] ?? tier.cost
    return { tier: tier.name, tokens: run.blocks * size.blockTokens, cost }
  })
  const known = parts.reduce((sum, { tokens }) => sum + tokens, 0)
  return speculativeTokens > known
    ? [{ tier: TIERS[0].name, tokens: speculativeTokens, cost: TIERS[0].cost }]
    : parts
}

function reuseOf({ profile }: Endpoint, size: RequestSize, parts: readonly MatchPart[]): Reuse {
  return cheapestReuse(profile.prefill, size.kvBytesPerToken, size.promptTokens, parts)
}

function costOf({ loadMs, prefillMs }: Reuse): number {
  return loadMs + prefillMs
}
