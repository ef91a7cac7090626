/**
 * A token bucket: refilled evenly, at most a minute's worth saved up. The state is a value. It may be below zero: what was
 * taken turned out to be more than was asked for, and is paid back before anything else is taken.
 */
import type { LedgerTerms, LimitState, LimitStates } from '../../protocol/tenancy.ts'

const MINUTE_MS = 60_000
/** Refills of fractions of a token add up to a little less than the whole: who waited as told must not be refused. */
const ROUNDING = 1e-6

export interface BucketState {
  readonly tokens: number
  readonly atMs: number
}

/** The bucket at `nowMs`. `state` is null for a tenant never seen, whose bucket is full. */
export function fillBucket(state: BucketState | null, perMinute: number, nowMs: number): BucketState {
  if (state === null) return { tokens: perMinute, atMs: nowMs }
  // A clock that went back refills nothing, and a lowered limit caps what was saved up.
  const elapsedMs = Math.max(0, nowMs - state.atMs)
  const tokens = Math.min(perMinute, state.tokens + (elapsedMs * perMinute) / MINUTE_MS)
  return { tokens, atMs: Math.max(nowMs, state.atMs) }
}

/** Takes `amount`, or puts back what is below zero; never more than a minute's worth is saved up. */
export function takeFrom(bucket: BucketState, perMinute: number, amount: number): BucketState {
  return { ...bucket, tokens: Math.min(perMinute, bucket.tokens - amount) }
}

/** What can be taken at once. */
export function wholeTokens(bucket: BucketState): number {
  return Math.floor(bucket.tokens + ROUNDING)
}

/** How long until `amount` can be taken. What the bucket cannot hold waits for a full one. */
export function waitMs(bucket: BucketState, perMinute: number, amount: number): number {
  const missing = Math.min(amount, perMinute) - bucket.tokens
  return missing <= ROUNDING ? 0 : Math.ceil((missing * MINUTE_MS) / perMinute)
}

export function limitState(bucket: BucketState, perMinute: number): LimitState {
  return {
    limit: perMinute,
    remaining: Math.max(0, wholeTokens(bucket)),
    resetMs: waitMs(bucket, perMinute, perMinute),
  }
}

/** What headers say of the buckets of a tenant with these limits. */
export function limitStates(
  { requestsPerMinute, tokensPerMinute }: Pick<LedgerTerms, 'requestsPerMinute' | 'tokensPerMinute'>,
  { requests, tokens }: { readonly requests: BucketState | null; readonly tokens: BucketState | null },
): LimitStates {
  return {
    requests: requests && requestsPerMinute !== null ? limitState(requests, requestsPerMinute) : null,
    tokens: tokens && tokensPerMinute !== null ? limitState(tokens, tokensPerMinute) : null,
  }
}
