/** The result of a match in the form in which production's index gives it. */
import type { MatchRun } from '../../cluster-agent/blocks/residency.ts'
import { TIER_COUNT } from '../world/residency.ts'

/** The runs of endpoint `number`, nearest tier first. */
export function runsOf(runs: Int32Array, number: number): MatchRun[] {
  const found: MatchRun[] = []
  for (let tier = 0; tier < TIER_COUNT; tier++) {
    const blocks = runs[number * TIER_COUNT + tier] ?? 0
    if (blocks > 0) found.push({ tier: tier + 1, blocks })
  }
  return found
}
