/**
 * What this isolate knows of its tenants' limits, by tenant: leases and news for the ledgers, and how it counts by itself
 * while a ledger does not answer.
 */
import type { ActiveTenant } from '../../protocol/tenancy.ts'
import type { Policy } from '../../protocol/policy.ts'
import { SingleFlight } from './single-flight.ts'
import { TenantLimits } from './tenant-limits.ts'

/** Tenants of one isolate; of more, those that were quiet longest are forgotten. */
const TENANTS_MAX = 2048
const MINUTE_MS = 60_000

interface Account {
  readonly limits: TenantLimits
  policy: Policy
  /** The policy that the ledger has been told of. */
  toldPolicy: Policy | null
  outUntilMs: number
  /** Requests that passed in an outage, and since when they are counted. */
  passed: number
  passedSinceMs: number
}

export interface News {
  readonly tenant: string
  readonly limits: TenantLimits
  readonly policy: Policy
  /** The ledger has the policy's prices and limits from here on. */
  readonly told: () => void
}

export class Accounts {
  readonly flights: SingleFlight
  /** Least recently used first. */
  readonly #accounts = new Map<string, Account>()

  constructor(flightMsMax: number) {
    this.flights = new SingleFlight(flightMsMax)
  }

  limitsOf({ tenant, policy }: ActiveTenant): TenantLimits {
    const known = this.#accounts.get(tenant)
    const account: Account = known ?? {
      limits: new TenantLimits(),
      policy,
      toldPolicy: null,
      outUntilMs: 0,
      passed: 0,
      passedSinceMs: 0,
    }
    account.policy = policy
    this.#accounts.delete(tenant)
    this.#accounts.set(tenant, account)
    if (this.#accounts.size > TENANTS_MAX) {
      const oldest = this.#accounts.keys().next()
      if (!oldest.done) this.#accounts.delete(oldest.value)
    }
    return account.limits
  }

  isOut(tenant: string, nowMs: number): boolean {
    return nowMs < (this.#accounts.get(tenant)?.outUntilMs ?? 0)
  }

  noteOutage(tenant: string, untilMs: number): void {
    const account = this.#accounts.get(tenant)
    if (account) account.outUntilMs = untilMs
  }

  /** Counts a request by this isolate's own minute. 0: it may pass; else how long until the next may. */
  passInOutage(tenant: string, requestsPerMinute: number | null, nowMs: number): number {
    const account = this.#accounts.get(tenant)
    if (!account || requestsPerMinute === null) return 0
    if (nowMs - account.passedSinceMs >= MINUTE_MS) {
      account.passedSinceMs = nowMs
      account.passed = 0
    }
    if (account.passed >= requestsPerMinute) return account.passedSinceMs + MINUTE_MS - nowMs
    account.passed++
    return 0
  }

  /** The tenants whose ledgers have something to hear. */
  news(): News[] {
    return [...this.#accounts].flatMap(([tenant, account]) => {
      const { limits, policy } = account
      const isPriced = Object.keys(policy.prices).length > 0
      if (!limits.hasNews && (account.toldPolicy === policy || !isPriced)) return []
      const told = () => {
        account.toldPolicy = policy
      }
      return [{ tenant, limits, policy, told }]
    })
  }
}
