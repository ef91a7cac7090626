/** How endpoints stand towards one request: what a choice is made from. */
import { TIERS } from '../../core/tiers.ts'
import type { MatchRun } from '../blocks/residency.ts'
import type { AdapterState } from './adapter-slots.ts'
import { ADAPTER_LOAD_MS_USUAL, decodeStepMs, type Endpoint, type EndpointLoad } from './endpoint.ts'

export interface Candidate {
  readonly endpoint: Endpoint
  readonly load: EndpointLoad
  readonly runs: readonly MatchRun[]
  /** Tokens of a prefix that was just routed here and is not confirmed yet; it counts as on the GPU. */
  readonly speculativeTokens: number
  /** Tokens of the prefix that peers can pull out of its tiers. */
  readonly pullableTokens?: number
  /** Of the request's adapter; absent: it needs none. */
  readonly adapter?: AdapterState
  /** Why it takes no request now, or null. */
  readonly unavailable: string | null
}

export interface RequestSize {
  readonly promptTokens: number
  /** What the answer is expected to come to. */
  readonly answerTokens: number
  readonly kvBytesPerToken: number
  readonly blockTokens: number
  /** false: prefill and decode must be one endpoint. */
  readonly isSplittable: boolean
  /** What the tenant's policy asks for; null: nothing. */
  readonly sloTtftMs?: number | null | undefined
  readonly sloItlMs?: number | null | undefined
}

/** What is priced but not waited for by the request itself. Milliseconds each; the factors have no unit. */
export interface PriceWeights {
  /** k of core/cost-model.ts. */
  readonly kvShadow: number
  /** Decode endpoints leave prefill to those made for it unless that costs this much more: their sequences would stall. */
  readonly disturbance: number
  /** How much a millisecond beyond the asked TTFT counts in addition. */
  readonly lateness: number
  /** How much a millisecond counts that an answer takes longer because of who decodes beside it. */
  readonly pace: number
}

/** Tokens of the prompt that lie on its GPU, as far as is known. */
export function tokensOnGpu({ runs, speculativeTokens }: Candidate, size: RequestSize): number {
  const [first] = runs
  const held = first?.tier === TIERS[0].number ? first.blocks * size.blockTokens : 0
  return Math.min(Math.max(held, speculativeTokens), size.promptTokens)
}

/** A cold adapter is loaded; when every slot is in use, one of the answers that use them must end first. */
export function adapterWaitMs({ endpoint: { profile }, adapter, load }: Candidate): number {
  if (adapter === undefined || adapter === 'loaded') return 0
  const loadMs = profile.adapterLoadMs ?? ADAPTER_LOAD_MS_USUAL
  if (adapter === 'cold' || load.decoding === 0) return loadMs
  const answerMs = load.answerTokens * decodeStepMs(profile, load.decoding, load.contextTokens)
  return loadMs + answerMs / load.decoding
}
