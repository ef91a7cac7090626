/** Edge -> tenant ledger, by RPC: may this tenant send one more request? */
import type { OutcomeSink } from './outcome.ts'

export interface RateVerdict {
  readonly allowed: boolean
  /** Requests left at once after this one. */
  readonly remaining: number
  /** When the next request will be allowed, 0 when one is allowed at once. */
  readonly retryAfterMs: number
  /** When the bucket will be full again. */
  readonly resetMs: number
}

/** The RPC surface of a tenant's ledger object. `nowMs` is for tests: the object has its own clock. */
export interface TenantLedgerRpc extends OutcomeSink {
  take(requestsPerMinute: number, nowMs?: number): Promise<RateVerdict>
}
