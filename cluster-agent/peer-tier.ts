/** The next source of KV when a hand-off failed: a replica whose CPU tier holds more of the prompt than the chosen endpoint. */
import { tierByNumber } from '../core/tiers.ts'
import type { EndpointSpec } from './discovery/endpoint-spec.ts'
import { parseKvSource, type KvSource } from './handoff/kv-source.ts'
import type { Candidate } from './routing/candidate.ts'
import type { Pair } from './routing/select.ts'

/** An offload tier takes blocks as soon as they are computed, so what lies on the GPU lies there too. */
const OFFLOADED = new Set(['gpu', 'cpu'])

export function peerWithMore(
  { prefill }: Pair,
  candidates: readonly Candidate[],
  specOf: (endpoint: number) => EndpointSpec | null,
): KvSource | null {
  // Only an engine with such a tier of its own can load from a peer's.
  if (specOf(prefill.endpoint.number)?.peerTier === undefined) return null
  let best: KvSource | null = null
  let most = prefill.runs.reduce((sum, { blocks }) => sum + blocks, 0)
  for (const { endpoint, runs, unavailable } of candidates) {
    if (
      endpoint === prefill.endpoint ||
      unavailable !== null ||
      endpoint.version !== prefill.endpoint.version
    )
      continue
    const blocks = runs.reduce(
      (sum, run) => (OFFLOADED.has(tierByNumber(run.tier)?.name ?? '') ? sum + run.blocks : sum),
      0,
    )
    const address = specOf(endpoint.number)?.peerTier
    if (blocks <= most || address === undefined) continue
    best = parseKvSource(address)
    most = blocks
  }
  return best
}
