/**
 * A prefix that many prompts share is worth having where they come from. Each prompt by itself is cheaper where the prefix
 * already is, so without this rule all go the long way for ever. Nobody knows how many will still come: as in the ski rental
 * problem, one pays the small price until as much is paid as the large one costs (Karlin et al., Competitive randomized
 * algorithms for nonuniform problems, 1990). Here chance keeps the account, since many isolates share it: a prompt goes to
 * the cluster where the prefix is missing with the probability
 *
 *     p = what it would save there if the prefix were there / what it costs there since it is not
 *
 * so that the detours before the first that goes cost as much as its prefill, on average.
 */
import type { PricedCandidate } from './price.ts'

export interface Replica {
  readonly entry: PricedCandidate
  /** Between 0 and 1. */
  readonly probability: number
}

/**
 * Where a second copy of the prefix pays soonest; null: nowhere. `lead` is the cheapest of all, `others` those that could
 * serve as well, `priceWarm` what one of them would cost with the prefix of the lead.
 */
export function findReplica(
  lead: PricedCandidate,
  others: readonly PricedCandidate[],
  priceWarm: (entry: PricedCandidate) => PricedCandidate,
): Replica | null {
  let best: Replica | null = null
  for (const entry of others) {
    if (entry.matchedTokens >= lead.matchedTokens) continue
    const savedMs = lead.terms.totalMs - priceWarm(entry).terms.totalMs
    const extraMs = entry.terms.totalMs - lead.terms.totalMs
    if (savedMs <= 0) continue
    const probability = extraMs <= savedMs ? 1 : savedMs / extraMs
    if (best === null || probability > best.probability) best = { entry, probability }
  }
  return best
}
