/**
 * Where a cached prefix beats computing it again, by the production cost model: from each tier, from a peer, and by going
 * to a farther region where it is warm.
 */
import { loadMs, prefillMs } from '../../core/cost-model.ts'
import { TIERS } from '../../core/tiers.ts'
import type { TierCost } from '../../protocol/report.ts'
import type { EngineProfile } from '../engine/profile.ts'
import type { PlayedRequest } from '../workload/trace.ts'

export interface BreakEven {
  readonly source: string
  /** The shortest prefix, before a rest of the trace's median length, that pays; null when none does. */
  readonly tokens: number | null
  /** Of all prompt tokens: those reusable ones that are cheaper to take from there. */
  readonly share: number
  /** Mean over the requests that it pays for. */
  readonly savedMs: number
}

interface Source {
  readonly name: string
  readonly cost: TierCost
  /** Milliseconds on top, whatever the size. */
  readonly wayMs: number
}

/** Planning figure of a wide-area link between regions: the upper end of 1 to 10 Gb/s a group of flows. */
const WIDE_AREA_BYTES_PER_MS = 1.2e6

/** `farMs`: round trip to another region beyond that to the caller's own. */
export function breakEvens(
  profile: EngineProfile,
  farMs: number,
  requests: readonly PlayedRequest[],
  reusedTokens: readonly number[],
): BreakEven[] {
  const [gpu, cpu, disk] = TIERS
  const sources: Source[] = [
    { name: 'GPU of the same engine', cost: gpu.cost, wayMs: 0 },
    { name: 'DRAM', cost: { ...cpu.cost, bytesPerMs: profile.cpuBytesPerMs }, wayMs: 0 },
    { name: 'NVMe', cost: disk.cost, wayMs: 0 },
    { name: 'a peer in the cluster', cost: profile.transfer, wayMs: 0 },
    { name: `a warm region ${Math.round(farMs)} ms farther`, cost: gpu.cost, wayMs: farMs },
    {
      name: 'KV from another region',
      cost: { floorMs: farMs, bytesPerMs: WIDE_AREA_BYTES_PER_MS },
      wayMs: 0,
    },
  ]
  const rests = requests.map(({ inputTokens }, i) => inputTokens - (reusedTokens[i] ?? 0))
  const medianRest = rests.toSorted((a, b) => a - b)[Math.floor(rests.length / 2)] ?? 1
  const promptTokens = requests.reduce((sum, { inputTokens }) => sum + inputTokens, 0)
  return sources.map((source) => {
    let paying = 0
    let payingTokens = 0
    let savedMs = 0
    for (const [i, reused] of reusedTokens.entries()) {
      const saved = savingMs(profile, source, reused, rests[i] ?? 0)
      if (reused === 0 || saved <= 0) continue
      paying++
      payingTokens += reused
      savedMs += saved
    }
    return {
      source: source.name,
      tokens: breakEvenTokens(profile, source, Math.max(medianRest, 1)),
      share: payingTokens / Math.max(promptTokens, 1),
      savedMs: paying === 0 ? 0 : savedMs / paying,
    }
  })
}

/** What taking `cached` tokens from the source saves against computing them, before a rest of `rest` tokens. */
function savingMs(
  { prefill, kvBytesPerToken }: EngineProfile,
  source: Source,
  cached: number,
  rest: number,
): number {
  const cold = prefillMs(prefill, cached + rest, 0)
  // The last token is computed in any case.
  const warm = prefillMs(prefill, Math.max(rest, 1), cached)
  return cold - warm - loadMs(source.cost, cached * kvBytesPerToken) - source.wayMs
}

/** The saving grows faster than the prefix (attention), so that from its first positive length on it stays positive. */
function breakEvenTokens(profile: EngineProfile, source: Source, rest: number): number | null {
  const most = Math.min(profile.contextTokensMax, profile.kvTokens) - rest
  if (most < 1 || savingMs(profile, source, most, rest) <= 0) return null
  let below = 0
  let above = most
  while (above - below > 1) {
    const middle = Math.floor((below + above) / 2)
    if (savingMs(profile, source, middle, rest) > 0) above = middle
    else below = middle
  }
  return above
}
