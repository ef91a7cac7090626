/**
 * What this isolate holds of one tenant's limits: a lease, what it has to tell the ledger, and what the ledger said last.
 * Times are this isolate's own; a lease counts from the moment of asking.
 */
import type {
  Admitted,
  Amount,
  LeaseAnswer,
  LedgerReport,
  LedgerTerms,
  Lease,
  LimitName,
  LimitStates,
} from '../../protocol/tenancy.ts'
import { REPORT_ENTRIES_MAX } from '../../protocol/tenancy.ts'

/**
 * As many as one report tells of, so that reports keep up with leases. Beside an ocean of 200 ms an isolate passes more
 * than a thousand requests a second of one tenant.
 */
const WANT_MAX = REPORT_ENTRIES_MAX
/** How long a refusal is repeated without asking again. */
const REFUSAL_MS_MAX = 1000
/** More than this to tell: the oldest is dropped. Outcomes settle without it. */
const PENDING_MAX = 4096

export interface Refusal {
  readonly limit: LimitName
  readonly retryAfterMs: number
}

interface HeldLease extends Lease {
  readonly expiresMs: number
}

export class TenantLimits {
  #lease: HeldLease | null = null
  #running = new Set<string>()
  #limits: LimitStates = { requests: null, tokens: null }
  /** The headers that are the same until the ledger speaks again. */
  #headers: Readonly<Record<string, string>> = {}
  #refusal: { readonly limit: LimitName; readonly untilMs: number; readonly asOfMs: number } | null = null
  #want = 1
  readonly #admitted: Admitted[] = []
  readonly #ended: string[] = []
  readonly #released: string[] = []
  readonly #returned: string[] = []

  get hasNews(): boolean {
    return this.#admitted.length + this.#ended.length + this.#released.length + this.#returned.length > 0
  }

  get wantRequests(): number {
    return this.#want
  }

  /** What a request aside from others takes out of the lease; false when the lease does not hold it. */
  take(requestId: string, model: string, need: Amount, nowMs: number): boolean {
    const lease = this.#living(nowMs)
    if (lease === null) return false
    const isEnough =
      (lease.requests ?? Infinity) >= need.requests &&
      (lease.tokens ?? Infinity) >= need.tokens &&
      (lease.nanoUsd ?? Infinity) >= need.nanoUsd &&
      this.#running.size < (lease.slots ?? Infinity)
    if (!isEnough) return false
    this.#lease = {
      ...lease,
      requests: lease.requests === null ? null : lease.requests - need.requests,
      tokens: lease.tokens === null ? null : lease.tokens - need.tokens,
      nanoUsd: lease.nanoUsd === null ? null : lease.nanoUsd - need.nanoUsd,
    }
    this.#running.add(requestId)
    this.#tell(this.#admitted, {
      requestId,
      lease: lease.lease,
      model,
      tokens: need.tokens,
      nanoUsd: need.nanoUsd,
    })
    return true
  }

  /** A request that passes without a lease. */
  passUnleased(requestId: string, model: string, need: Amount): void {
    this.#tell(this.#admitted, { requestId, lease: null, model, tokens: need.tokens, nanoUsd: need.nanoUsd })
  }

  /** The last refusal while it is still true. */
  refusal(nowMs: number): Refusal | null {
    const refusal = this.#refusal
    if (refusal === null) return null
    if (nowMs >= Math.min(refusal.untilMs, refusal.asOfMs + REFUSAL_MS_MAX)) return null
    return { limit: refusal.limit, retryAfterMs: refusal.untilMs - nowMs }
  }

  accept(answer: LeaseAnswer, askedMs: number): void {
    this.#limits = answer.limits
    this.#headers = headersOf(answer.limits)
    if (answer.kind === 'refused') {
      this.#refusal = { limit: answer.limit, untilMs: askedMs + answer.retryAfterMs, asOfMs: askedMs }
      return
    }
    this.#refusal = null
    this.#lease = { ...answer.lease, expiresMs: askedMs + answer.lease.lifeMs }
  }

  /** The answer is over: its place is free. */
  end(requestId: string): void {
    if (this.#refusal?.limit === 'concurrency') this.#refusal = null
    this.#running.delete(requestId)
    // Told even under a living lease, which may end before the outcome comes.
    this.#tell(this.#ended, requestId)
  }

  /** No cluster took it: nothing is owed. */
  release(requestId: string): void {
    this.#running.delete(requestId)
    this.#tell(this.#released, requestId)
  }

  /** The next report, taken out. Before a new lease the old one is given back, so that its rest is free at once. */
  takeReport(terms: LedgerTerms, isRenewal: boolean, nowMs: number): LedgerReport {
    if (isRenewal && this.#lease !== null) {
      const isUsedUp = nowMs < this.#lease.expiresMs
      this.#want = isUsedUp ? Math.min(WANT_MAX, this.#want * 2) : Math.max(1, this.#want >> 1)
      this.#returned.push(this.#lease.lease)
      this.#lease = null
      // Its requests count by themselves from here on, until they are told to have ended.
      this.#running.clear()
    }
    return {
      terms,
      admitted: this.#admitted.splice(0, REPORT_ENTRIES_MAX),
      ended: this.#ended.splice(0, REPORT_ENTRIES_MAX),
      released: this.#released.splice(0, REPORT_ENTRIES_MAX),
      returned: this.#returned.splice(0, REPORT_ENTRIES_MAX),
    }
  }

  /** A report that did not arrive is told again. Telling twice does no harm. */
  putBack(report: LedgerReport): void {
    for (const admitted of report.admitted) this.#tell(this.#admitted, admitted)
    for (const requestId of report.ended) this.#tell(this.#ended, requestId)
    for (const requestId of report.released) this.#tell(this.#released, requestId)
    for (const lease of report.returned) this.#tell(this.#returned, lease)
  }

  /** Puts in what OpenAI's clients pace themselves by: the ledger's last word and what the lease still holds. */
  putHeaders(headers: Record<string, string>, nowMs: number): void {
    const lease = this.#living(nowMs)
    const { requests, tokens } = this.#limits
    Object.assign(headers, this.#headers)
    if (requests)
      headers['x-ratelimit-remaining-requests'] = String(requests.remaining + (lease?.requests ?? 0))
    if (tokens) headers['x-ratelimit-remaining-tokens'] = String(tokens.remaining + (lease?.tokens ?? 0))
  }

  #living(nowMs: number): HeldLease | null {
    return this.#lease !== null && nowMs < this.#lease.expiresMs ? this.#lease : null
  }

  #tell<T>(list: T[], entry: T): void {
    list.push(entry)
    if (list.length > PENDING_MAX) list.shift()
  }
}

function headersOf(limits: LimitStates): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const name of ['requests', 'tokens'] as const) {
    const state = limits[name]
    if (state === null) continue
    headers[`x-ratelimit-limit-${name}`] = String(state.limit)
    headers[`x-ratelimit-reset-${name}`] = `${(state.resetMs / 1000).toFixed(3)}s`
  }
  return headers
}
