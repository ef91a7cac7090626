/**
 * Why predictions of cached tokens do not come true, by name. The silent faults of such systems: each leaves an engine that
 * serves and a router that knows nothing of use, and no error anywhere. Certain evidence is asked first.
 */
import type { PredictionSummary } from './predictions.ts'

export const DIAGNOSES = {
  'prefix-caching-off': 'the engine keeps no prefix cache: start it with --enable-prefix-caching',
  'usage-not-reported':
    'the engine reports no cached tokens, so nothing can be checked: start it with --enable-prompt-tokens-details',
  'no-events':
    'the engine publishes no KV events: start it with --kv-events-config, on the port that is configured here',
  'missing-events': 'events of the engine are lost: it holds what the agent was not told of',
  'block-size': 'the events speak of another block size than the engine reports',
  salt: 'the engine keeps blocks under no salt although every request carries one',
  version: 'the engine is of another version than those whose predictions come true',
  'hash-seed':
    'the engine hashes blocks otherwise than its peers: set one PYTHONHASHSEED and one hash algorithm',
  'stale-residency': 'the agent believes in blocks that the engine has evicted',
} as const
export type Diagnosis = keyof typeof DIAGNOSES

export interface Evidence {
  readonly predictions: PredictionSummary
  readonly hasPrefixCache: boolean | null
  /** Hits of the engine's own counter since it started; null: not reported. */
  readonly engineHits: number | null
  readonly engineBlockTokens: number | null
  readonly eventBlockTokens: number
  /** Messages of its event stream. */
  readonly eventMessages: number
  /** Roots of chains that its events stored, with a salt and without. */
  readonly saltedRoots: number
  readonly unsaltedRoots: number
  /** Whether other endpoints of another version have good predictions. */
  readonly differsFromGoodPeers: () => boolean
  /** Whether engines share tiers, which are found by hash: only then it matters that hashes are the same everywhere. */
  readonly sharesTiers: boolean
  /** Chains that its peers began as well, under the same hash and under another. */
  readonly sameHashes: number
  readonly otherHashes: number
}

/** Requests in the window before anything is said. */
export const OBSERVED_MIN = 8
/** Share of wrong predictions that counts as drift. */
const DRIFT_SHARE = 0.25

/** null: predictions come true, or too little is known. */
export function diagnose(evidence: Evidence): Diagnosis | null {
  const { predictions, hasPrefixCache, engineBlockTokens, eventBlockTokens } = evidence
  if (hasPrefixCache === false) return 'prefix-caching-off'
  const isBusy = predictions.requests >= OBSERVED_MIN
  // Engines before 0.32 report nothing where nothing was cached: only what was expected to be says something.
  if (predictions.reported === 0 && predictions.expectedUnreported >= OBSERVED_MIN)
    return 'usage-not-reported'
  if (isBusy && evidence.eventMessages === 0) return 'no-events'
  if (engineBlockTokens !== null && eventBlockTokens > 0 && engineBlockTokens !== eventBlockTokens)
    return 'block-size'
  if (evidence.unsaltedRoots >= OBSERVED_MIN && evidence.unsaltedRoots > evidence.saltedRoots) return 'salt'
  if (
    evidence.sharesTiers &&
    evidence.otherHashes >= OBSERVED_MIN &&
    evidence.otherHashes > evidence.sameHashes
  )
    return 'hash-seed'
  if (predictions.reported < OBSERVED_MIN) return null
  const drifts = (wrong: number) => wrong >= DRIFT_SHARE * predictions.reported
  if (drifts(predictions.over)) {
    const foundNothing =
      predictions.expected >= OBSERVED_MIN && predictions.expectedFoundNone === predictions.expected
    if (foundNothing && evidence.engineHits === 0) return 'prefix-caching-off'
    return evidence.differsFromGoodPeers() ? 'version' : 'stale-residency'
  }
  // A prompt that was learnt too late says nothing of the events.
  if (drifts(predictions.lost)) {
    if (predictions.lostWhileMissing * 2 >= predictions.lost) return 'missing-events'
    return evidence.differsFromGoodPeers() ? 'version' : 'missing-events'
  }
  return null
}
