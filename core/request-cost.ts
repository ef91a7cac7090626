/** What tokens cost at the prices of a policy. Money is in whole nano-USD, so that sums are exact. */
import { PRICE_OF_OTHERS, type Price } from '../protocol/policy.ts'

/** USD for a million tokens are this many nano-USD for one. */
const NANO_USD_PER_TOKEN = 1000
/** Binary fractions of prices such as 0.1 would otherwise round a whole number up. */
const ROUNDING = 1e-6

export interface TokenCounts {
  readonly uncachedTokens: number
  readonly cachedTokens: number
  readonly outputTokens: number
}

/** null: the model is free. */
export function priceOf(prices: Readonly<Record<string, Price>>, model: string): Price | null {
  for (const name of [model, PRICE_OF_OTHERS]) {
    // A model may be called like a property that every object has.
    if (Object.hasOwn(prices, name)) return prices[name] ?? null
  }
  return null
}

/** Rounded up: a request is never free because it is small. */
export function costNanoUsd(price: Price | null, tokens: TokenCounts): number {
  if (price === null) return 0
  const usdPerMillion =
    price.uncachedUsd * tokens.uncachedTokens +
    price.cachedUsd * tokens.cachedTokens +
    price.outputUsd * tokens.outputTokens
  return Math.ceil(usdPerMillion * NANO_USD_PER_TOKEN - ROUNDING)
}
