/** One model server that can be chosen: what it is, and how it stands now. */
import type { PrefillLaw, TierCost } from '../../protocol/report.ts'

export type Role = 'prefill' | 'decode' | 'both'

export interface EndpointProfile {
  readonly prefill: PrefillLaw
  /** One decode step: base, and for each running sequence. */
  readonly decodeStepMs: number
  readonly decodeMsPerSequence: number
  /** Tokens of one engine step: a longer prefill takes several, each shared with what decodes there. */
  readonly batchTokensMax: number
  readonly kvTokens: number
  /** By tier name; others cost what core/tiers.ts says. */
  readonly tiers: Readonly<Record<string, TierCost>>
  /** Pulling KV from another endpoint. */
  readonly transfer: TierCost
}

export interface Endpoint {
  /** Its number in index, bookings and configuration. */
  readonly number: number
  readonly name: string
  readonly role: Role
  /** Prefill and decode legs need the same engine version. */
  readonly version: string | null
  readonly profile: EndpointProfile
}

export interface EndpointLoad {
  /** Prefill work that is booked and not done, in ms. */
  readonly backlogMs: number
  /** Booked share of its KV space, 0 to 1. */
  readonly kvPressure: number
  /** Sequences that decode now. */
  readonly decoding: number
}
