/**
 * How full each tier of a model is and how fast it forgets, as heartbeats tell it. The rate is that of the last seconds:
 * what the engines have evicted since it was last looked at, weighted by e^(-t/`RATE_MS`).
 */
import { TIERS } from '../../core/tiers.ts'
import type { TierState } from '../../protocol/report.ts'
import type { TierCounts } from '../blocks/tier-counts.ts'

const RATE_MS = 5000
/** Slower than this is as good as not at all. */
const RATE_MIN = 0.01

interface Seen {
  readonly evicted: Float64Array
  readonly perS: Float64Array
  atMs: number
}

export class TierStates {
  readonly #seen = new WeakMap<TierCounts, Seen>()

  /** By tier name, of those tiers that ever held a block. Asked at the same time it says the same. */
  of(counts: TierCounts, nowMs: number): Record<string, TierState> {
    const seen = this.#seen.get(counts) ?? this.#begin(counts, nowMs)
    const elapsedMs = nowMs - seen.atMs
    const states: Record<string, TierState> = {}
    for (const { name, number } of TIERS) {
      const evicted = counts.evicted(number)
      if (elapsedMs > 0) {
        const perS = ((evicted - (seen.evicted[number] ?? 0)) * 1000) / elapsedMs
        const before = seen.perS[number] ?? 0
        seen.perS[number] = before + (perS - before) * -Math.expm1(-elapsedMs / RATE_MS)
        seen.evicted[number] = evicted
      }
      const blocks = counts.held(number)
      if (blocks === 0 && evicted === 0) continue
      states[name] = { blocks, evictedBlocksPerS: rounded(seen.perS[number] ?? 0) }
    }
    if (elapsedMs > 0) seen.atMs = nowMs
    return states
  }

  #begin(counts: TierCounts, nowMs: number): Seen {
    const evicted = new Float64Array(TIERS.length + 1)
    for (const { number } of TIERS) evicted[number] = counts.evicted(number)
    const seen = { evicted, perS: new Float64Array(TIERS.length + 1), atMs: nowMs }
    this.#seen.set(counts, seen)
    return seen
  }
}

/** Two digits: a heartbeat that says nothing new should not look new. */
function rounded(perS: number): number {
  return perS < RATE_MIN ? 0 : Number(perS.toPrecision(2))
}
