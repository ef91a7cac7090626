/**
 * The decision: candidates -> rules -> price -> an ordered plan with the reason of every rejection. Planning changes
 * nothing; what is then sent is booked elsewhere.
 */
import { choose } from '../../core/choose.ts'
import type { Policy, Routing } from '../../protocol/edge-config.ts'
import type { PLAN_REASONS } from '../../protocol/receipt.ts'
import { believedLoad, deepestBytes, matchOf, type Candidate } from './candidate.ts'
import { addMoney } from './money.ts'
import { assumeFrom, priceCandidate, sumTerms, type PricedCandidate } from './price.ts'
import { rendezvousRank } from './rendezvous.ts'
import { findReplica } from './replicate.ts'
import { ruleOf, type RuleContext } from './rules.ts'

export type PlanReason = (typeof PLAN_REASONS)[number]

/** A prompt of which this share lies in one cluster is a conversation that cluster knows. */
const KNOWN_SHARE_MIN = 0.5
/** What leaving costs when the load of the conversation's cluster is not believed: more than any wait. */
const STAY_WITHOUT_LOAD_MS = 3_600_000

export interface PlanInput {
  readonly candidates: readonly Candidate[]
  readonly policy: Policy
  readonly promptBytes: number
  readonly routing: Routing
  /** Where the knowledge in the candidates comes from. */
  readonly knowledge: 'directory' | 'recent-load' | 'none'
  readonly stayMarginMs: number
  /** What `sticky` hashes. */
  readonly stickyKey: string
  /** The cluster that keeps what the request continues; null when it continues nothing. */
  readonly pinnedCluster: string | null
  /** Whether other prompts have ended their match where this one does: then a second copy of the prefix may pay. */
  readonly isShared: boolean
  /** In [0, 1), the same for all plans of a request: whether this one carries a copy. */
  readonly draw: number
  /** What `random` routing draws from. */
  readonly random: () => number
}

export interface Plan {
  /** In the order in which they are tried. */
  readonly entries: readonly PricedCandidate[]
  /** Why the first entry leads; null when there is none. */
  readonly reason: PlanReason | null
  readonly rejected: readonly { readonly cluster: string; readonly reason: string }[]
}

export function makePlan(input: PlanInput): Plan {
  const { policy, pinnedCluster } = input
  const anew: RuleContext = { policy, pinnedCluster, knownBytes: null }
  const hard = ruleOf('hard', anew)
  const possible = input.candidates.filter((candidate) => hard(candidate) === null)
  const home = findHome(possible, input.promptBytes)
  const health = ruleOf('health', { ...anew, knownBytes: home?.matchedBytes ?? null })
  const assumptions = assumeFrom(input.candidates)
  const price = (candidate: Candidate) =>
    addMoney(priceCandidate(candidate, input.promptBytes, assumptions), policy.objective)
  const priced = new Map(
    input.candidates.map((candidate) => {
      const bare = price(candidate)
      return [candidate, { bare, entry: addStayValue(bare, home, input.stayMarginMs) }] as const
    }),
  )
  const order = orderBy(input, (candidate) => priced.get(candidate)?.entry.terms.totalMs ?? Infinity)
  const strict = choose(input.candidates, [hard, health], order)
  // When health leaves nobody, those in doubt are better than a refusal; policy never yields.
  const choice = strict.ranked.length > 0 ? strict : choose(input.candidates, [hard], order)
  const cheapest = choice.ranked.flatMap(({ candidate }) => priced.get(candidate) ?? [])
  const copy = input.isShared && input.routing === 'isotherm' ? drawReplica(input, cheapest, price) : null
  const ranked = copy === null ? cheapest : [copy, ...cheapest.filter((one) => one !== copy)]
  return {
    entries: ranked.map(({ entry }) => entry),
    reason: copy === null ? reasonOf(input, ranked, possible) : 'replica',
    rejected: choice.rejected.map(({ candidate, reason }) => ({ cluster: candidate.config.cluster, reason })),
  }
}

interface Priced {
  readonly bare: PricedCandidate
  readonly entry: PricedCandidate
}

/** Whose turn it is to carry the prefix elsewhere, or null. Where load is not believed, nobody moves. */
function drawReplica(
  input: PlanInput,
  ranked: readonly Priced[],
  price: (candidate: Candidate) => PricedCandidate,
): Priced | null {
  const [lead, ...others] = ranked.filter(({ bare }) => believedLoad(bare.candidate) !== null)
  if (!lead || lead !== ranked[0] || input.knowledge !== 'directory') return null
  const { bytes } = matchOf(lead.bare.candidate)
  const replica = findReplica(
    lead.bare,
    others.map(({ bare }) => bare),
    ({ candidate }) => price({ ...candidate, speculativeBytes: bytes }),
  )
  if (replica === null || input.draw >= replica.probability) return null
  return others.find(({ bare }) => bare === replica.entry) ?? null
}

interface Home {
  readonly matchedBytes: number
  readonly isLoadBelieved: boolean
}

/** How deep the conversation is known where it is known best; null when no cluster knows most of it. */
function findHome(candidates: readonly Candidate[], promptBytes: number): Home | null {
  const matchedBytes = deepestBytes(candidates)
  if (matchedBytes < promptBytes * KNOWN_SHARE_MIN || matchedBytes === 0) return null
  const homes = candidates.filter((candidate) => matchOf(candidate).bytes === matchedBytes)
  return { matchedBytes, isLoadBelieved: homes.some((candidate) => believedLoad(candidate) !== null) }
}

/** Leaving the conversation's home is priced above what the other cluster costs by itself. */
function addStayValue(priced: PricedCandidate, home: Home | null, stayMarginMs: number): PricedCandidate {
  if (home === null || matchOf(priced.candidate).bytes === home.matchedBytes) return priced
  const marginMs = home.isLoadBelieved ? stayMarginMs : STAY_WITHOUT_LOAD_MS
  const { terms } = priced
  return { ...priced, terms: sumTerms({ ...terms, shadowMs: terms.shadowMs + marginMs }) }
}

function orderBy(
  input: PlanInput,
  priceMs: (candidate: Candidate) => number,
): (candidate: Candidate) => number {
  switch (input.routing) {
    case 'isotherm':
      return priceMs
    case 'nearest':
      return ({ rttMs }) => rttMs
    case 'sticky':
      return ({ config }) => -rendezvousRank(input.stickyKey, config.cluster)
    case 'random': {
      const shuffle = new Map(input.candidates.map((candidate) => [candidate, input.random()]))
      return (candidate) => shuffle.get(candidate) ?? 0
    }
  }
}

function reasonOf(
  input: PlanInput,
  ranked: readonly Priced[],
  possible: readonly Candidate[],
): PlanReason | null {
  const [lead, ...others] = ranked
  if (!lead) return null
  if (input.routing !== 'isotherm') return `override-${input.routing}`
  if (input.knowledge !== 'directory') return 'no-directory'
  if (others.some(({ bare }) => bare.terms.totalMs < lead.bare.terms.totalMs)) return 'stay'
  if (lead.entry.matchedTokens > 0) return 'warm'
  const isNearest = possible.every(({ rttMs }) => lead.entry.candidate.rttMs <= rttMs)
  return isNearest ? 'nearest' : 'least-wait'
}
