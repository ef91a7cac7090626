/** One model server that can be chosen: what it is, and how it stands now. */
import type { Disturbance, PrefillLaw, TierCost } from '../../protocol/report.ts'

export type Role = 'prefill' | 'decode' | 'both'

/** Speed and sizes: configured for planning, corrected by calibration/ from what was observed. */
export interface EndpointProfile {
  readonly prefill: PrefillLaw
  /** One decode step: base, for each running sequence, and for each token of their contexts. */
  readonly decodeStepMs: number
  readonly decodeMsPerSequence: number
  readonly decodeMsPerContextToken?: number | undefined
  /** Tokens of one engine step: a longer prefill takes several, each shared with what decodes there. */
  readonly batchTokensMax: number
  readonly kvTokens: number
  /** By tier name; others cost what core/tiers.ts says. */
  readonly tiers: Readonly<Record<string, TierCost>>
  /** Pulling KV from another endpoint in a hand-off. */
  readonly transfer: TierCost
  /** Pulling a cached prefix out of a peer's tier; absent: these engines cannot. */
  readonly peerPull?: TierCost | undefined
  /** The engine loads a tier only where that beats computing; vLLM's connectors load whatever they hold. */
  readonly loadsIfCheaper?: boolean | undefined
  /** Bringing an adapter that is not loaded into a slot. */
  readonly adapterLoadMs?: number | undefined
}

/** A planning figure for profiles that say nothing: an adapter of some 100 MB from a local disk. */
export const ADAPTER_LOAD_MS_USUAL = 200

export interface Endpoint {
  /** Its number in index, bookings and configuration. */
  readonly number: number
  readonly name: string
  readonly role: Role
  /** Prefill and decode legs need the same engine version. */
  readonly version: string | null
  /** Its data-parallel rank, when its URL serves several; each rank has a KV pool of its own. */
  readonly rank?: number | null
  readonly profile: EndpointProfile
}

export interface EndpointLoad {
  /** Prefill work that is booked and not done, in ms, and the tokens that it computes. */
  readonly backlogMs: number
  readonly backlogTokens: number
  /** KV space that running and queued sequences hold or will hold, and its share of the whole, 0 to 1. */
  readonly pinnedTokens: number
  readonly kvPressure: number
  /** Sequences that decode now, the sum of their contexts, and the answer that one of them has on average. */
  readonly decoding: number
  readonly contextTokens: number
  readonly answerTokens: number
}

export const IDLE: EndpointLoad = {
  backlogMs: 0,
  backlogTokens: 0,
  pinnedTokens: 0,
  kvPressure: 0,
  decoding: 0,
  contextTokens: 0,
  answerTokens: 0,
}

/** How long one decode step takes with `sequences` that hold `contextTokens` together. */
export function decodeStepMs(profile: EndpointProfile, sequences: number, contextTokens: number): number {
  return (
    profile.decodeStepMs +
    profile.decodeMsPerSequence * sequences +
    (profile.decodeMsPerContextToken ?? 0) * contextTokens
  )
}

/**
 * How much longer `steps` steps of prefill take for the sequences that decode in them. The pass over the weights counts
 * once a step: the first is in the prefill's fixed part.
 */
export function decodeShareMs(
  profile: EndpointProfile,
  { decoding, contextTokens }: EndpointLoad,
  steps: number,
): number {
  if (decoding === 0 || steps <= 0) return 0
  const shareMs = decodeStepMs(profile, decoding, contextTokens) - profile.decodeStepMs
  return steps * shareMs + Math.max(steps - 1, 0) * profile.decodeStepMs
}

/**
 * What prefill disturbs at an endpoint for decode; where nothing decodes, nobody. Sequences come, by Little's law, as fast as
 * answers end.
 */
export function disturbanceOf(profile: EndpointProfile, load: EndpointLoad, stallShare: number): Disturbance {
  if (load.decoding === 0) return { stallShare: 0, comingPerMs: 0 }
  const answerMs = load.answerTokens * decodeStepMs(profile, load.decoding, load.contextTokens)
  return { stallShare, comingPerMs: answerMs > 0 ? load.decoding / answerMs : 0 }
}

/**
 * How long a prompt of `neededTokens` waits for KV space beside what is pinned. By Little's law the space comes free at
 * the rate of pinned tokens over the life of an answer.
 */
export function kvWaitMs(profile: EndpointProfile, load: EndpointLoad, neededTokens: number): number {
  const missing = load.pinnedTokens + neededTokens - profile.kvTokens
  if (missing <= 0 || load.pinnedTokens <= 0 || load.decoding === 0) return 0
  const answerMs = load.answerTokens * decodeStepMs(profile, load.decoding, load.contextTokens)
  return Math.min(missing / load.pinnedTokens, 1) * answerMs
}
