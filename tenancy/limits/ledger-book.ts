/**
 * One tenant's limits and money as a state machine: leases out, requests under way, what is settled. Without clock and
 * storage; what changed is drained by the object, which stores it. B1: spent <= budget + what requests cost beyond their
 * reservations, as long as isolates report within LEASE_HOLD_MS of a lease's end and outcomes come within SETTLE_MS_MAX.
 */
import type { Outcome } from '../../protocol/outcome.ts'
import type {
  Admitted,
  LeaseAnswer,
  LeaseAsk,
  LedgerReport,
  LedgerTerms,
  LimitName,
} from '../../protocol/tenancy.ts'
import { chargeOf, freeCharge, isDearer, pricedCharge, tokensOf, type Charge } from './charge.ts'
import { Holdings, type UnderWay } from './holdings.ts'
import { leaseLifeMs, leaseSize } from './lease-size.ts'
import { LedgerChanges, type BookState } from './ledger-changes.ts'
import { dayOf, periodEndMs, periodOf, Spending } from './spending.ts'
import { Settled, SKEW_MS_MAX, type SettledEntry } from './settled.ts'
import { fillBucket, limitStates, takeFrom, waitMs, wholeTokens } from './token-bucket.ts'

/** The most leases out at once. */
const LEASES_MAX = 10_000
/** How often everything that is held is looked through. */
const SWEEP_MS = 250
/** How long to wait for money or places that other requests hold. */
const HELD_RETRY_MS = 2000

export class LedgerBook {
  readonly #holdings = new Holdings()
  readonly #spending: Spending
  readonly #settled: Settled
  readonly #newId: () => string
  #state: BookState
  #changes = new LedgerChanges()
  #sweptMs = -Infinity

  constructor(state: BookState, nanoUsdByDay: ReadonlyMap<string, number>, newId: () => string) {
    this.#state = state
    this.#spending = new Spending(nanoUsdByDay)
    this.#settled = new Settled(state.watermarkMs)
    this.#newId = newId
  }

  /** Takes back what was stored: settlements first, so that requests they close stay closed. */
  restoreSettled(entry: SettledEntry): void {
    this.#settled.set(entry)
  }

  restoreUnderWay(request: UnderWay): void {
    if (!this.#settled.get(request.requestId)) this.#holdings.admit({ ...request, lease: null })
    this.#state = { ...this.#state, nextBatch: Math.max(this.#state.nextBatch, request.batch + 1) }
  }

  restoreLease(lease: Parameters<Holdings['grant']>[0]): void {
    this.#holdings.grant(lease)
  }

  lease(ask: LeaseAsk, nowMs: number): LeaseAnswer {
    this.report(ask, nowMs)
    const { requestsPerMinute, tokensPerMinute, concurrentMax, budget } = ask.terms
    const need = ask.need
    const requests =
      requestsPerMinute === null ? null : fillBucket(this.#state.requests, requestsPerMinute, nowMs)
    const tokens = tokensPerMinute === null ? null : fillBucket(this.#state.tokens, tokensPerMinute, nowMs)
    this.#state = { ...this.#state, requests, tokens }
    this.#changes.touch()
    const leftNanoUsd = this.#spending.left(budget, nowMs) - this.#holdings.nanoUsd
    const places = (concurrentMax ?? Infinity) - this.#holdings.places
    if (requests && requestsPerMinute !== null && wholeTokens(requests) < 1) {
      return this.#refuse('requests', waitMs(requests, requestsPerMinute, 1), ask.terms)
    }
    if (tokens && tokensPerMinute !== null && wholeTokens(tokens) < Math.min(need.tokens, tokensPerMinute)) {
      return this.#refuse('tokens', waitMs(tokens, tokensPerMinute, need.tokens), ask.terms)
    }
    if (places < 1 || this.#holdings.leaseCount >= LEASES_MAX) {
      return this.#refuse('concurrency', HELD_RETRY_MS, ask.terms)
    }
    if (leftNanoUsd < need.nanoUsd) {
      const isOnlyHeld = leftNanoUsd + this.#holdings.nanoUsd >= need.nanoUsd
      const untilMs =
        budget === null || isOnlyHeld ? HELD_RETRY_MS : periodEndMs(budget.period, nowMs) - nowMs
      return this.#refuse('budget', untilMs, ask.terms)
    }

    const count = leaseSize(ask.wantRequests, [
      { left: requests?.tokens ?? Infinity, each: 1 },
      { left: tokens?.tokens ?? Infinity, each: need.tokens },
      { left: places, each: 1 },
      { left: leftNanoUsd, each: need.nanoUsd },
    ])
    const granted = {
      lease: this.#newId(),
      requests: count,
      tokens: count * need.tokens,
      nanoUsd: budget === null ? 0 : count * need.nanoUsd,
      slots: count,
      expiresMs: nowMs + leaseLifeMs(this.#holdings.leaseCount),
    }
    this.#holdings.grant(granted)
    this.#changes.leases.set(granted.lease, granted)
    this.#state = {
      ...this.#state,
      requests: requests && requestsPerMinute !== null ? takeFrom(requests, requestsPerMinute, count) : null,
      tokens: tokens && tokensPerMinute !== null ? takeFrom(tokens, tokensPerMinute, granted.tokens) : null,
    }
    return {
      kind: 'granted',
      lease: {
        lease: granted.lease,
        requests: requests && count,
        tokens: tokens && granted.tokens,
        nanoUsd: budget && granted.nanoUsd,
        slots: concurrentMax && count,
        lifeMs: granted.expiresMs - nowMs,
      },
      limits: limitStates(ask.terms, this.#state),
    }
  }

  report(report: LedgerReport, nowMs: number): void {
    this.#tidy(nowMs)
    const isPriced = this.#state.terms !== null
    this.#state = { ...this.#state, terms: report.terms }
    if (!isPriced) this.#price(nowMs)
    const batch = this.#state.nextBatch
    for (const admitted of report.admitted) this.#admit(admitted, batch, nowMs)
    if (this.#changes.opened.length > 0) this.#state = { ...this.#state, nextBatch: batch + 1 }
    for (const requestId of report.ended) this.#holdings.end(requestId)
    for (const requestId of report.released) {
      const request = this.#holdings.find(requestId)
      if (request) this.#settle(request.requestId, nowMs, nowMs, freeCharge(request.model))
    }
    for (const lease of report.returned) {
      const rest = this.#holdings.close(lease)
      if (!rest) continue
      this.#changes.leases.set(lease, null)
      this.#refund('requests', report.terms.requestsPerMinute, rest.requests, nowMs)
      this.#refund('tokens', report.terms.tokensPerMinute, rest.tokens, nowMs)
    }
    this.#changes.touch()
  }

  /** Idempotent: an outcome counts once, however often and in whatever order outcomes come. */
  takeOutcomes(outcomes: readonly Outcome[], nowMs: number): void {
    this.#tidy(nowMs)
    for (const outcome of outcomes) {
      // Nothing was answered there: another attempt's outcome counts, or the edge releases the request.
      if (outcome.end === 'failed') continue
      const { requestId, endedMs } = outcome
      const waiting = this.#holdings.find(requestId)
      const before = this.#settled.get(requestId)
      if (!waiting && !before && this.#settled.mayBeForgotten(endedMs, nowMs)) continue
      const charge = chargeOf(outcome, this.#state.terms?.prices ?? {}, waiting?.tokens ?? null)
      if (before && !isDearer(charge, before.charge)) continue
      this.#settle(requestId, endedMs, nowMs, charge)
    }
  }

  /** Ends what is overdue. */
  sweep(nowMs: number): void {
    this.#sweptMs = nowMs
    const { leases, lost } = this.#holdings.sweep(nowMs)
    for (const { lease } of leases) this.#changes.leases.set(lease, null)
    for (const request of lost) {
      this.#changes.close(request.batch)
      this.#changes.lose(dayOf(nowMs), request.model)
    }
    this.#settled.prune(nowMs)
    if (leases.length + lost.length > 0) this.#changes.touch()
  }

  nextDueMs(): number | null {
    return this.#holdings.nextDueMs()
  }

  balance(nowMs: number): { period: string; spentNanoUsd: number; heldNanoUsd: number; underWay: number } {
    const period = this.#state.terms?.budget?.period ?? 'month'
    return {
      period: periodOf(period, nowMs),
      spentNanoUsd: this.#spending.inPeriod(period, nowMs),
      heldNanoUsd: this.#holdings.nanoUsd,
      underWay: this.#holdings.underWayCount,
    }
  }

  /** What has changed since the last call, and the state as it is. */
  drain(): { changes: LedgerChanges; state: BookState } {
    const changes = this.#changes
    this.#changes = new LedgerChanges()
    this.#state = { ...this.#state, watermarkMs: this.#settled.watermarkMs }
    return { changes, state: this.#state }
  }

  /** Now and then: what ends a moment late is held a moment longer, which exceeds nothing. */
  #tidy(nowMs: number): void {
    if (nowMs < this.#sweptMs || nowMs >= this.#sweptMs + SWEEP_MS) this.sweep(nowMs)
  }

  /** Outcomes may come before the first isolate has said what they cost. */
  #price(nowMs: number): void {
    for (const { requestId, endedMs, charge } of this.#settled.entries()) {
      this.#settle(requestId, endedMs, nowMs, pricedCharge(charge, this.#state.terms?.prices ?? {}))
    }
  }

  #admit(admitted: Admitted, batch: number, nowMs: number): void {
    const { requestId } = admitted
    if (this.#holdings.find(requestId)) return
    const request = { ...admitted, sinceMs: nowMs, batch }
    const isSettled = this.#settled.get(requestId) !== undefined
    const lease = isSettled ? this.#holdings.consume(admitted) : this.#holdings.admit(request)
    if (lease) this.#changes.leases.set(lease.lease, lease)
    if (!isSettled) this.#changes.open(request)
    // Its outcome came first and took the tokens that the lease has taken too.
    else if (lease) this.#refund('tokens', this.#state.terms?.tokensPerMinute ?? null, admitted.tokens, nowMs)
  }

  #settle(requestId: string, endedMs: number, nowMs: number, charge: Charge): void {
    const before = this.#settled.get(requestId)
    const reserved = this.#holdings.settle(requestId)
    if (reserved) this.#changes.close(reserved.batch)
    const entry: SettledEntry = {
      requestId,
      endedMs: Math.max(before?.endedMs ?? 0, Math.min(endedMs, nowMs + SKEW_MS_MAX)),
      atMs: before?.atMs ?? nowMs,
      charge,
    }
    this.#settled.set(entry)
    this.#changes.settled.push(entry)
    const day = dayOf(nowMs)
    this.#spending.add(day, charge.nanoUsd - (before?.charge.nanoUsd ?? 0))
    this.#changes.charge(day, charge, before?.charge ?? null)
    // A limit of tokens counts what was used: the estimate is put back, the truth is taken.
    const estimate = reserved?.tokens ?? (before ? tokensOf(before.charge) : 0)
    this.#refund('tokens', this.#state.terms?.tokensPerMinute ?? null, estimate - tokensOf(charge), nowMs)
    this.#changes.touch()
  }

  #refund(bucket: 'requests' | 'tokens', perMinute: number | null, amount: number, nowMs: number): void {
    if (perMinute === null) return
    const filled = fillBucket(this.#state[bucket], perMinute, nowMs)
    this.#state = { ...this.#state, [bucket]: takeFrom(filled, perMinute, -amount) }
  }

  #refuse(limit: LimitName, retryAfterMs: number, terms: LedgerTerms): LeaseAnswer {
    return { kind: 'refused', limit, retryAfterMs, limits: limitStates(terms, this.#state) }
  }
}
