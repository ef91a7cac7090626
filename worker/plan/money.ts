/**
 * Money as time, for tenants whose policy says what an hour of waiting is worth: what a request costs in a cluster is priced
 * like any other wait. It moves the choice; nobody waits for it.
 */
import { costNanoUsd } from '../../core/request-cost.ts'
import type { Objective } from '../../protocol/policy.ts'
import { NANO_USD } from '../../protocol/tenancy.ts'
import { sumTerms, type PricedCandidate } from './price.ts'

const HOUR_MS = 3_600_000
/** Tokens of an answer whose length nobody knows yet. Only differences between clusters count. */
const OUTPUT_TOKENS_EXPECTED = 256

/** A cluster whose configuration names no price costs nothing. */
export function addMoney(priced: PricedCandidate, objective: Objective): PricedCandidate {
  const { price } = priced.candidate.config
  if (objective.kind !== 'money' || price === undefined) return priced
  const { matchedTokens, promptTokens, terms } = priced
  const nanoUsd = costNanoUsd(price, {
    uncachedTokens: promptTokens - matchedTokens,
    cachedTokens: matchedTokens,
    outputTokens: OUTPUT_TOKENS_EXPECTED,
  })
  const moneyMs = (nanoUsd / NANO_USD / objective.usdPerHour) * HOUR_MS
  return { ...priced, terms: sumTerms({ ...terms, shadowMs: terms.shadowMs + moneyMs }) }
}
