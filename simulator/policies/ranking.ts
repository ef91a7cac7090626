/** Picking the best of a few, ties at random: what most rules of peers end with. */

export function pickLowest(
  candidates: readonly number[],
  costOf: (candidate: number) => number,
  random: () => number,
): number {
  let best = -1
  let bestCost = Infinity
  let ties = 0
  for (const candidate of candidates) {
    const cost = costOf(candidate)
    if (cost > bestCost || Number.isNaN(cost)) continue
    ties = cost < bestCost ? 1 : ties + 1
    if (ties > 1 && random() * ties >= 1) continue
    bestCost = cost
    best = candidate
  }
  return best
}

export function pickHighest(
  candidates: readonly number[],
  scoreOf: (candidate: number) => number,
  random: () => number,
): number {
  return pickLowest(candidates, (candidate) => -scoreOf(candidate), random)
}
