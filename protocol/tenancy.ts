/**
 * The Worker's view of a tenant, and the RPC surface of its ledger. Amounts are whole numbers: money in nano-USD, so that
 * sums are exact; what an isolate holds of a tenant's limits it holds as a lease.
 */
import type { Outcome, OutcomeSink } from './outcome.ts'
import type { Policy, Price } from './policy.ts'

export const NANO_USD = 1e9

/** A tenant as a request meets it: who asks, by which policy. */
export interface ActiveTenant {
  readonly tenant: string
  readonly policy: Policy
  /** Version of the policy document; 0 for tenants of the configuration. */
  readonly policyVersion: number
  /** Which of the tenant's keys was used; `config` for tenants of the configuration. */
  readonly keyId: string
  /** A policy that is tried beside the live one, without effect. */
  readonly shadow: { readonly version: number; readonly policy: Policy } | null
}

/** What a request takes from its tenant's limits, or what is left of a lease. */
export interface Amount {
  readonly requests: number
  /** Prompt and answer. */
  readonly tokens: number
  readonly nanoUsd: number
}

/** The policy's part that a ledger needs. */
export interface LedgerTerms {
  readonly requestsPerMinute: number | null
  readonly tokensPerMinute: number | null
  readonly concurrentMax: number | null
  readonly budget: { readonly nanoUsd: number; readonly period: 'day' | 'month' } | null
  readonly prices: Readonly<Record<string, Price>>
}

/** A request that an isolate let pass, and what it set aside for it. */
export interface Admitted {
  readonly requestId: string
  /** null: it passed without a lease, in an outage. */
  readonly lease: string | null
  readonly model: string
  readonly tokens: number
  readonly nanoUsd: number
}

/** What happened in an isolate since it last reported for this tenant. */
export interface LedgerReport {
  readonly terms: LedgerTerms
  readonly admitted: readonly Admitted[]
  /** Requests whose stream has ended: they take no place any more; what they cost comes with their outcome. */
  readonly ended: readonly string[]
  /** Requests that no cluster took: nothing is owed. */
  readonly released: readonly string[]
  /** Leases that the isolate gives back. */
  readonly returned: readonly string[]
}

/** The most entries of each list of a report. */
export const REPORT_ENTRIES_MAX = 256

export interface LeaseAsk extends LedgerReport {
  /** The request at hand. */
  readonly need: Amount
  /** How many such requests the isolate expects while the lease lasts. */
  readonly wantRequests: number
}

/** Parts of a tenant's limits that an isolate may use up by itself. null: not limited. */
export interface Lease {
  readonly lease: string
  readonly requests: number | null
  readonly tokens: number | null
  readonly nanoUsd: number | null
  /** Requests under this lease that may be under way at once. */
  readonly slots: number | null
  /** From the moment of asking: no clock is compared with another. */
  readonly lifeMs: number
}

export type LimitName = 'requests' | 'tokens' | 'concurrency' | 'budget'

/** What the headers of an answer say about one limit. */
export interface LimitState {
  readonly limit: number
  readonly remaining: number
  readonly resetMs: number
}

export interface LimitStates {
  readonly requests: LimitState | null
  readonly tokens: LimitState | null
}

export type LeaseAnswer =
  | { readonly kind: 'granted'; readonly lease: Lease; readonly limits: LimitStates }
  | {
      readonly kind: 'refused'
      readonly limit: LimitName
      readonly retryAfterMs: number
      readonly limits: LimitStates
    }

/** Tokens and money of one model on one day (UTC). */
export interface UsageRow {
  /** `2026-11-25`. */
  readonly day: string
  readonly model: string
  readonly requests: number
  readonly uncachedTokens: number
  readonly cachedTokens: number
  readonly outputTokens: number
  readonly nanoUsd: number
  /** Requests whose outcome never came. */
  readonly lostRequests: number
}

export interface UsageAnswer {
  readonly rows: readonly UsageRow[]
  readonly budget: {
    readonly period: string
    readonly spentNanoUsd: number
    /** Set aside for requests under way and for leases. */
    readonly heldNanoUsd: number
  }
  readonly requestsUnderWay: number
}

/** One ledger a tenant. */
export interface TenantLedgerRpc extends OutcomeSink {
  lease(ask: LeaseAsk): Promise<LeaseAnswer>
  report(report: LedgerReport): Promise<void>
  usage(fromDay: string, toDay: string): Promise<UsageAnswer>
  /** Outcomes of this tenant's requests, at least once each. */
  takeOutcomes(outcomes: readonly Outcome[]): Promise<void>
}
