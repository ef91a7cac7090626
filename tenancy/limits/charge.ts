/** What a request costs: tokens as the engine counted them, at the prices of the tenant's policy. */
import { costNanoUsd, priceOf, type TokenCounts } from '../../core/request-cost.ts'
import type { Outcome } from '../../protocol/outcome.ts'
import type { Price } from '../../protocol/policy.ts'

export interface Charge extends TokenCounts {
  readonly model: string
  readonly nanoUsd: number
}

/** `reservedTokens` stands in for the prompt of a complete answer whose engine reported no usage; null: unknown. */
export function chargeOf(
  outcome: Outcome,
  prices: Readonly<Record<string, Price>>,
  reservedTokens: number | null,
): Charge {
  const outputTokens = outcome.outputTokens ?? 0
  const assumed = outcome.end === 'complete' ? Math.max(0, (reservedTokens ?? 0) - outputTokens) : 0
  const promptTokens = outcome.promptTokens ?? assumed
  const cachedTokens = Math.min(outcome.cachedTokens ?? 0, promptTokens)
  const tokens = { uncachedTokens: promptTokens - cachedTokens, cachedTokens, outputTokens }
  return pricedCharge({ model: outcome.model, ...tokens, nanoUsd: 0 }, prices)
}

export function pricedCharge(charge: Charge, prices: Readonly<Record<string, Price>>): Charge {
  return { ...charge, nanoUsd: costNanoUsd(priceOf(prices, charge.model), charge) }
}

/** Of a request that no cluster took. */
export function freeCharge(model: string): Charge {
  return { model, uncachedTokens: 0, cachedTokens: 0, outputTokens: 0, nanoUsd: 0 }
}

export function tokensOf(charge: Charge): number {
  return charge.uncachedTokens + charge.cachedTokens + charge.outputTokens
}

/**
 * Of several attempts at one request the dearest counts. A maximum does not depend on order or repetition, so settlement is
 * idempotent, and a hedge that was cancelled is not paid beside the answer.
 */
export function isDearer(charge: Charge, than: Charge): boolean {
  return charge.nanoUsd !== than.nanoUsd ? charge.nanoUsd > than.nanoUsd : tokensOf(charge) > tokensOf(than)
}
