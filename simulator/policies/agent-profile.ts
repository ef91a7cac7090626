/** What an agent that is calibrated to an engine believes of it. */
import type { EndpointProfile } from '../../cluster-agent/routing/endpoint.ts'
import { TIERS } from '../../core/tiers.ts'
import { lowerTiersOf } from '../engine/lower-tiers.ts'
import type { EngineProfile } from '../engine/profile.ts'

export function agentProfile(profile: EngineProfile): EndpointProfile {
  const lower = lowerTiersOf(profile).map(
    ({ number, cost }) => [TIERS[number - 1]?.name ?? '', cost] as const,
  )
  return {
    prefill: profile.prefill,
    decodeStepMs: profile.decode.stepMs,
    decodeMsPerSequence: profile.decode.msPerSequence,
    decodeMsPerContextToken: profile.decode.msPerContextToken,
    batchTokensMax: profile.batchTokensMax,
    kvTokens: profile.kvTokens,
    tiers: Object.fromEntries(lower),
    transfer: profile.transfer,
    ...(profile.pullsFromPeers ? { peerPull: profile.transfer } : {}),
  }
}
