/**
 * The digest of an API key -> its tenant and policy, from this isolate's cache or the policy store. One request asks for all
 * that wait, and for the keys of the same shard that will be due soon.
 */
import { RouteError } from '../protocol/errors.ts'
import type { ActiveTenant } from '../protocol/tenancy.ts'
import type { Edge } from './env.ts'
import { OUTAGE_MS_MAX, type KnownKey } from './memory/key-cache.ts'
import { settledWithin } from './settled-within.ts'

export const STORE_MS_MAX = 1000
/** How often a request joins or leads an asking before it gives up. */
const ROUNDS_MAX = 3
/** How long a store that did not answer is not asked again. */
const OUTAGE_MS = 1000

/** The name under which directories spread the revision of a shard, and of the object that owns it. */
export function shardName(shard: number): string {
  return `policies-${String(shard).padStart(2, '0')}`
}

/** Throws `invalid_api_key`, `forbidden` or `tenancy_unavailable`. */
export async function findTenant(
  edge: Edge,
  digest: string,
  shard: number,
  region: string,
  waitUntil: (work: Promise<void>) => void,
): Promise<ActiveTenant> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const nowMs = Date.now()
    const held = edge.keyCache.read(digest, newestRevision(edge, shard), nowMs)
    if (held?.freshness === 'fresh') return activeTenant(held.known, nowMs)
    if (edge.storeOutages.isOut(shard, nowMs)) break
    if (held?.freshness === 'due') {
      const place = edge.keyFlights.join(shardName(shard), nowMs)
      if (place.isLeader) waitUntil(ask(edge, digest, shard, region).finally(place.land))
      return activeTenant(held.known, nowMs)
    }
    if (held === null && edge.keyCache.isFlooded(nowMs)) break
    // By key: who waits for another key's asking would wait for nothing.
    const place = edge.keyFlights.join(digest, nowMs)
    if (!place.isLeader) {
      await settledWithin(place.landed, STORE_MS_MAX)
      continue
    }
    try {
      await ask(edge, digest, shard, region)
    } finally {
      place.land()
    }
  }
  return tenantInOutage(edge, digest)
}

/** Never rejects. */
async function ask(edge: Edge, digest: string, shard: number, region: string): Promise<void> {
  const askedMs = Date.now()
  const newest = newestRevision(edge, shard)
  const questions = edge.keyCache.questions(digest, shard, newest, askedMs)
  const asking = edge
    .policiesOf(shard, region)
    .resolve(questions, newest)
    .catch(() => null)
  const resolution = (await settledWithin(asking, STORE_MS_MAX)) ? await asking : null
  if (resolution !== null) return edge.keyCache.learn(shard, questions, resolution, askedMs)
  edge.counters.count('storeFailures')
  edge.storeOutages.note(shard, Date.now() + OUTAGE_MS)
}

/** As the policy says that was in force last, for a bounded time. A key that nobody here has seen is nobody's. */
function tenantInOutage(edge: Edge, digest: string): ActiveTenant {
  const nowMs = Date.now()
  const held = edge.keyCache.read(digest, 0, nowMs)
  const isKnown = held?.known.kind === 'tenant' && held.known.live?.policy.onOutage === 'open'
  if (held && isKnown && held.ageMs < OUTAGE_MS_MAX) return activeTenant(held.known, nowMs)
  throw new RouteError('tenancy_unavailable', 'API keys cannot be checked at the moment.', {
    retryAfterMs: OUTAGE_MS,
  })
}

function activeTenant(known: KnownKey, nowMs: number): ActiveTenant {
  const isExpired = known.kind === 'tenant' && known.expiresMs !== null && nowMs >= known.expiresMs
  if (known.kind === 'unknown' || isExpired) {
    throw new RouteError('invalid_api_key', 'Incorrect API key provided.')
  }
  if (known.live === null) throw new RouteError('forbidden', 'This tenant has no active policy.')
  return {
    tenant: known.tenant,
    policy: known.live.policy,
    policyVersion: known.live.version,
    keyId: known.keyId,
    shadow: known.shadow,
  }
}

function newestRevision(edge: Edge, shard: number): number {
  return edge.versions.latest(shardName(shard)) ?? 0
}
