/**
 * A token bucket: one token a request, refilled evenly, at most a minute's worth saved up. The state is a value; taking
 * gives a new one.
 */
import type { RateVerdict } from '../../protocol/tenancy.ts'

const MINUTE_MS = 60_000
/** Refills of fractions of a token add up to a little less than the whole: who waited as told must not be refused. */
const ROUNDING = 1e-9

export interface BucketState {
  readonly tokens: number
  readonly atMs: number
}

export interface Taking {
  readonly state: BucketState
  readonly verdict: RateVerdict
}

/** Takes one token if there is one. `state` is null for a tenant never seen, whose bucket is full. */
export function takeToken(state: BucketState | null, requestsPerMinute: number, nowMs: number): Taking {
  const tokensPerMs = requestsPerMinute / MINUTE_MS
  const before = state ?? { tokens: requestsPerMinute, atMs: nowMs }
  // A clock that went back refills nothing, and a lowered limit caps what was saved up.
  const elapsedMs = Math.max(0, nowMs - before.atMs)
  const filled = Math.min(requestsPerMinute, before.tokens + elapsedMs * tokensPerMs)
  const allowed = filled >= 1 - ROUNDING
  const tokens = allowed ? Math.max(filled - 1, 0) : filled
  return {
    state: { tokens, atMs: Math.max(nowMs, before.atMs) },
    verdict: {
      allowed,
      remaining: Math.floor(tokens),
      retryAfterMs: tokens >= 1 ? 0 : Math.ceil((1 - tokens) / tokensPerMs),
      resetMs: Math.ceil((requestsPerMinute - tokens) / tokensPerMs),
    },
  }
}
