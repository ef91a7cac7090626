/**
 * Predicted milliseconds. Every choice, between regions and between endpoints, minimises a sum of these terms.
 *
 *     prefill(n new after c cached tokens) = fixed + n * perToken + perTokenPair * (n * c + n^2 / 2)
 *     load(bytes from a tier)              = floor + bytes / bandwidth
 *     shadow(u)                            = 1 + k * u / (1 - u)
 *     disturbance(prefill)                 = prefill * (stall + coming * prefill / 2)
 */
import type { Disturbance, PrefillLaw, TierCost } from '../protocol/report.ts'

/**
 * Weight of the shadow price of KV space. A greedy price without it spreads conversations when queues grow, loses
 * hits, makes more prefill and does not recover. At 0.25 engines of one cluster still fill unevenly after an overload
 * (`npm run sim -- run b2b-recovery`), at 0.5 conversations move too early near the knee (`mooncake`).
 */
export const KV_SHADOW_WEIGHT = 0.35

/** KV pressure is capped here: beyond it the factor would only measure noise (at 0.95 it is 5.75). */
export const KV_PRESSURE_MAX = 0.95

/** Milliseconds to prefill `newTokens` behind `cachedTokens` on an idle endpoint. */
export function prefillMs(law: PrefillLaw, newTokens: number, cachedTokens: number): number {
  if (newTokens <= 0) return 0
  const pairs = newTokens * cachedTokens + (newTokens * newTokens) / 2
  return law.fixedMs + newTokens * law.msPerToken + pairs * law.msPerTokenPair
}

export function loadMs(cost: TierCost, bytes: number): number {
  return bytes <= 0 || cost.bytesPerMs === Infinity ? 0 : cost.floorMs + bytes / cost.bytesPerMs
}

/** By how much the prefill of the rest is dearer where KV space runs out. `kvPressure` is 0 to 1. */
export function shadowFactor(kvPressure: number, weight: number = KV_SHADOW_WEIGHT): number {
  const u = Math.min(Math.max(kvPressure, 0), KV_PRESSURE_MAX)
  return 1 + (weight * u) / (1 - u)
}

/**
 * What a prefill at a decode endpoint makes others wait: it holds up the sequences there, and keeps out those that come
 * meanwhile, on average half its length each, so that the cost grows with its square.
 */
export function disturbanceMs({ stallShare, comingPerMs }: Disturbance, prefillMs: number): number {
  return prefillMs * (stallShare + (comingPerMs * prefillMs) / 2)
}

/** A run of the matched prefix that lies on one tier. */
export interface MatchPart {
  readonly tier: string
  readonly tokens: number
  readonly cost: TierCost
}

export interface Reuse {
  /** Tokens that are worth taking from cache. */
  readonly reusedTokens: number
  readonly loadMs: number
  readonly prefillMs: number
  /** The farthest tier that is loaded from, or null when nothing is reused. */
  readonly tier: string | null
}

/**
 * The cheapest way to have `promptTokens` of KV, given the parts of the match in prefix order. A part that is dearer
 * to load than to compute again ends the reuse there, together with everything after it: the prefix must be whole.
 * The last token is always computed, since the engine needs its logits.
 */
export function cheapestReuse(
  law: PrefillLaw,
  kvBytesPerToken: number,
  promptTokens: number,
  parts: readonly MatchPart[],
): Reuse {
  let best: Reuse = { reusedTokens: 0, loadMs: 0, prefillMs: prefillMs(law, promptTokens, 0), tier: null }
  let tokens = 0
  let loadedMs = 0
  for (const part of parts) {
    const taken = Math.min(part.tokens, Math.max(promptTokens - 1 - tokens, 0))
    if (taken <= 0) break
    tokens += taken
    loadedMs += loadMs(part.cost, taken * kvBytesPerToken)
    const restMs = prefillMs(law, promptTokens - tokens, tokens)
    if (loadedMs + restMs < best.loadMs + best.prefillMs) {
      best = { reusedTokens: tokens, loadMs: loadedMs, prefillMs: restMs, tier: part.tier }
    }
  }
  return best
}

/**
 * What an engine does that loads whatever it holds, as vLLM's connectors do: every part of the match is taken, also where
 * computing it again would be cheaper. A router that priced the cheaper way would send the request into the load.
 */
export function wholeReuse(
  law: PrefillLaw,
  kvBytesPerToken: number,
  promptTokens: number,
  parts: readonly MatchPart[],
): Reuse {
  let tokens = 0
  let loadedMs = 0
  let tier: string | null = null
  for (const part of parts) {
    const taken = Math.min(part.tokens, Math.max(promptTokens - 1 - tokens, 0))
    if (taken <= 0) break
    tokens += taken
    loadedMs += loadMs(part.cost, taken * kvBytesPerToken)
    tier = part.tier
  }
  return {
    reusedTokens: tokens,
    loadMs: loadedMs,
    prefillMs: prefillMs(law, promptTokens - tokens, tokens),
    tier,
  }
}
