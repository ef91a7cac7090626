/** How much an isolate gets, and for how long: enough to cross the ocean once for many requests, little enough to share. */

/** An isolate gets at most this part of what is left beyond its request at hand. */
const SHARE = 8
const LEASE_MS = 5000
const LEASE_MS_MAX = 30_000
/** Above this many leases each lasts longer, so that the object is not asked more often. */
const LEASES_AT_FULL_PACE = 500

export interface Resource {
  /** Infinity: not limited. */
  readonly left: number
  /** What one request takes. */
  readonly each: number
}

/** For how many requests like the one at hand, which is possible by itself. At least 1, at most `want`. */
export function leaseSize(want: number, resources: readonly Resource[]): number {
  const more = resources.map(({ left, each }) =>
    each <= 0 ? Infinity : Math.floor((left / each - 1) / SHARE),
  )
  return 1 + Math.max(0, Math.min(want - 1, ...more))
}

export function leaseLifeMs(leases: number): number {
  return Math.min(LEASE_MS_MAX, LEASE_MS * Math.max(1, leases / LEASES_AT_FULL_PACE))
}
