/**
 * The Durable Object that counts one tenant's requests. Its bucket is stored: an idle object leaves memory after seconds,
 * and a bucket that came back full each time would let a slow client exceed its limit several times over.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Outcome } from '../protocol/outcome.ts'
import type { RateVerdict, TenantLedgerRpc } from '../protocol/tenancy.ts'
import { takeToken, type BucketState } from './limits/token-bucket.ts'

const BUCKET_KEY = 'requests'

export class TenantLedger extends DurableObject implements TenantLedgerRpc {
  async take(requestsPerMinute: number, nowMs: number = Date.now()): Promise<RateVerdict> {
    const { kv } = this.ctx.storage
    const { state, verdict } = takeToken(kv.get<BucketState>(BUCKET_KEY) ?? null, requestsPerMinute, nowMs)
    kv.put(BUCKET_KEY, state)
    return verdict
  }

  /** Nothing is settled from outcomes here: they are taken and forgotten. */
  async takeOutcomes(_outcomes: readonly Outcome[]): Promise<void> {}
}
