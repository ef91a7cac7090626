/**
 * A ledger and many isolates in virtual time. Isolates are those of the Worker; what can go wrong between them and the
 * ledger does: answers and reports are lost, isolates die, outcomes come twice, late and in any order.
 */
import type { Outcome } from '../../protocol/outcome.ts'
import type { LedgerReport, LedgerTerms } from '../../protocol/tenancy.ts'
import { LedgerBook } from '../../tenancy/limits/ledger-book.ts'
import { EMPTY_STATE } from '../../tenancy/limits/ledger-changes.ts'
import { TenantLimits } from '../../worker/memory/tenant-limits.ts'

export const MODEL = 'm'
/** A token costs 1000 nano-USD. */
export const PRICES = { '*': { uncachedUsd: 1, cachedUsd: 0.1, outputUsd: 1 } }
export const NANO_USD_PER_TOKEN = 1000

export function terms(change: Partial<LedgerTerms> = {}): LedgerTerms {
  return {
    requestsPerMinute: null,
    tokensPerMinute: null,
    concurrentMax: null,
    budget: null,
    prices: PRICES,
    ...change,
  }
}

export function newBook(): LedgerBook {
  let leases = 0
  return new LedgerBook(EMPTY_STATE, new Map(), () => `lease-${++leases}`)
}

export function outcome(requestId: string, change: Partial<Outcome> = {}): Outcome {
  return {
    requestId,
    attempt: 1,
    tenant: 't',
    model: MODEL,
    edgeRegion: 'us-east',
    cluster: 'us-east-1',
    end: 'complete',
    status: 200,
    promptTokens: 0,
    cachedTokens: 0,
    outputTokens: 0,
    matchedTokens: 0,
    ttftMs: 1,
    predictedTtftMs: 1,
    durationMs: 1,
    prefillEndpoint: null,
    decodeEndpoint: null,
    endedMs: 0,
    ...change,
  }
}

export interface Running {
  readonly requestId: string
  readonly isolate: number
  readonly reservedTokens: number
  readonly actualTokens: number
  isRunning: boolean
}

export class LedgerWorld {
  readonly book = newBook()
  readonly terms: LedgerTerms
  readonly requests: Running[] = []
  nowMs = Date.UTC(2026, 10, 25)
  /** What settled requests cost beyond what was set aside for them. */
  excessNanoUsd = 0
  leasesAsked = 0
  readonly #isolates: TenantLimits[]
  readonly #settled = new Set<string>()
  /** Requests that a report which arrived has told of. */
  readonly #told = new Set<string>()

  constructor(isolates: number, ledgerTerms: LedgerTerms) {
    this.terms = ledgerTerms
    this.#isolates = Array.from({ length: isolates }, () => new TenantLimits())
  }

  get running(): readonly Running[] {
    return this.requests.filter(({ isRunning }) => isRunning)
  }

  spentNanoUsd(): number {
    return this.book.balance(this.nowMs).spentNanoUsd
  }

  /** Whether the request passed. `answerLost`: the ledger grants a lease that the isolate never hears of. */
  ask(isolate: number, reservedTokens: number, actualTokens: number, answerLost = false): boolean {
    const index = isolate % this.#isolates.length
    const limits = this.#isolates[index]!
    const requestId = `r${this.requests.length}`
    const need = { requests: 1, tokens: reservedTokens, nanoUsd: reservedTokens * NANO_USD_PER_TOKEN }
    for (let round = 0; round < 2; round++) {
      if (limits.take(requestId, MODEL, need, this.nowMs)) {
        this.requests.push({ requestId, isolate: index, reservedTokens, actualTokens, isRunning: true })
        return true
      }
      if (round === 1 || limits.refusal(this.nowMs)) return false
      this.leasesAsked++
      const report = limits.takeReport(this.terms, true, this.nowMs)
      const answer = this.book.lease({ ...report, need, wantRequests: limits.wantRequests }, this.nowMs)
      if (answerLost) {
        limits.putBack(report)
        return false
      }
      this.#note(report)
      limits.accept(answer, this.nowMs)
    }
    return false
  }

  /** The engine is done; the outcome comes `times` times. */
  settle(index: number, times = 1): void {
    const request = this.requests[index % Math.max(1, this.requests.length)]
    if (!request) return
    this.#end(request)
    const told = outcome(request.requestId, { promptTokens: request.actualTokens, endedMs: this.nowMs })
    for (let i = 0; i < times; i++) this.book.takeOutcomes([told], this.nowMs)
    if (this.#settled.has(request.requestId)) return
    this.#settled.add(request.requestId)
    this.excessNanoUsd += Math.max(0, request.actualTokens - request.reservedTokens) * NANO_USD_PER_TOKEN
  }

  end(index: number): void {
    const request = this.running[index % Math.max(1, this.running.length)]
    if (request) this.#end(request)
  }

  /**
   * Its memory is gone and so are its connections: the agents soon tell what those requests cost, also of requests that had
   * ended and that the ledger has not heard of.
   */
  crash(isolate: number): void {
    const index = isolate % this.#isolates.length
    this.#isolates[index] = new TenantLimits()
    for (const [at, { requestId, isolate: owner, isRunning }] of this.requests.entries()) {
      const isOpen = isRunning || !(this.#told.has(requestId) || this.#settled.has(requestId))
      if (owner === index && isOpen) this.settle(at)
    }
  }

  report(isolate: number, isLost = false): void {
    const limits = this.#isolates[isolate % this.#isolates.length]!
    const report = limits.takeReport(this.terms, false, this.nowMs)
    if (isLost) {
      limits.putBack(report)
      return
    }
    this.book.report(report, this.nowMs)
    this.#note(report)
  }

  /** Isolates report at least this often. */
  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 2000) {
      this.nowMs += Math.min(left, 2000)
      for (const [index] of this.#isolates.entries()) this.report(index)
      this.book.sweep(this.nowMs)
    }
  }

  #note({ admitted }: LedgerReport): void {
    for (const { requestId } of admitted) this.#told.add(requestId)
  }

  #end(request: Running): void {
    if (!request.isRunning) return
    request.isRunning = false
    this.#isolates[request.isolate]!.end(request.requestId)
  }
}
