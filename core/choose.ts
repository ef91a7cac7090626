/**
 * The skeleton of a choice: rules first, then the lowest predicted milliseconds. Choosing never changes state; booking a
 * choice is another call. Pairs of endpoints, of which there are thousands, follow it without an object each
 * (cluster-agent/routing/select.ts).
 */

/** Why a candidate is out, or null when the rule has nothing against it. */
export type Rule<C> = (candidate: C) => string | null

export interface Priced<C> {
  readonly candidate: C
  readonly costMs: number
}

export interface Choice<C> {
  /** Allowed candidates, cheapest first; equal costs keep the order given. Empty when every candidate is out. */
  readonly ranked: readonly Priced<C>[]
  readonly rejected: readonly { readonly candidate: C; readonly reason: string }[]
}

/** A cost that is not finite rejects the candidate as `unpriceable` rather than corrupt the order. */
export function choose<C>(
  candidates: readonly C[],
  rules: readonly Rule<C>[],
  costMs: (candidate: C) => number,
): Choice<C> {
  const ranked: Priced<C>[] = []
  const rejected: { candidate: C; reason: string }[] = []
  for (const candidate of candidates) {
    const reason = firstReason(candidate, rules)
    if (reason !== null) {
      rejected.push({ candidate, reason })
      continue
    }
    const cost = costMs(candidate)
    if (Number.isFinite(cost)) ranked.push({ candidate, costMs: cost })
    else rejected.push({ candidate, reason: 'unpriceable' })
  }
  ranked.sort((a, b) => a.costMs - b.costMs)
  return { ranked, rejected }
}

function firstReason<C>(candidate: C, rules: readonly Rule<C>[]): string | null {
  for (const rule of rules) {
    const reason = rule(candidate)
    if (reason !== null) return reason
  }
  return null
}
