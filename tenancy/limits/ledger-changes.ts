/** What an operation on a ledger's book changed, in the form in which it is stored: a row a batch, not a row a request. */
import type { LedgerTerms, UsageRow } from '../../protocol/tenancy.ts'
import type { Charge } from './charge.ts'
import type { HeldLease, UnderWay } from './holdings.ts'
import type { SettledEntry } from './settled.ts'
import type { BucketState } from './token-bucket.ts'

/** The part of a book that is one row. */
export interface BookState {
  /** null until the edge has said what holds. */
  readonly terms: LedgerTerms | null
  readonly requests: BucketState | null
  readonly tokens: BucketState | null
  readonly watermarkMs: number
  /** Number of the next report that opens requests. */
  readonly nextBatch: number
}

export const EMPTY_STATE: BookState = {
  terms: null,
  requests: null,
  tokens: null,
  watermarkMs: 0,
  nextBatch: 1,
}

export class LedgerChanges {
  /** null: the lease is gone. */
  readonly leases = new Map<string, HeldLease | null>()
  readonly opened: UnderWay[] = []
  /** Requests closed, by the report that opened them. */
  readonly closedByBatch = new Map<number, number>()
  readonly settled: SettledEntry[] = []
  /** What is added to the usage of a day and model. */
  readonly usage = new Map<string, UsageRow>()
  #isTouched = false

  get isEmpty(): boolean {
    return !this.#isTouched
  }

  touch(): void {
    this.#isTouched = true
  }

  open(request: UnderWay): void {
    this.opened.push(request)
  }

  close(batch: number): void {
    this.closedByBatch.set(batch, (this.closedByBatch.get(batch) ?? 0) + 1)
  }

  charge(day: string, charge: Charge, before: Charge | null): void {
    const sign = (now: number, then: number | undefined) => now - (then ?? 0)
    this.#add({
      day,
      model: charge.model,
      // A released request has no tokens and is none.
      requests: before === null || isEmpty(before) ? (isEmpty(charge) ? 0 : 1) : 0,
      uncachedTokens: sign(charge.uncachedTokens, before?.uncachedTokens),
      cachedTokens: sign(charge.cachedTokens, before?.cachedTokens),
      outputTokens: sign(charge.outputTokens, before?.outputTokens),
      nanoUsd: sign(charge.nanoUsd, before?.nanoUsd),
      lostRequests: 0,
    })
  }

  lose(day: string, model: string): void {
    const nothing = { requests: 0, uncachedTokens: 0, cachedTokens: 0, outputTokens: 0, nanoUsd: 0 }
    this.#add({ day, model, ...nothing, lostRequests: 1 })
  }

  #add(row: UsageRow): void {
    const key = `${row.day} ${row.model}`
    const before = this.usage.get(key)
    this.usage.set(key, before ? addUsage(before, row) : row)
  }
}

export function addUsage(a: UsageRow, b: UsageRow): UsageRow {
  return {
    ...a,
    requests: a.requests + b.requests,
    uncachedTokens: a.uncachedTokens + b.uncachedTokens,
    cachedTokens: a.cachedTokens + b.cachedTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    nanoUsd: a.nanoUsd + b.nanoUsd,
    lostRequests: a.lostRequests + b.lostRequests,
  }
}

function isEmpty({ uncachedTokens, cachedTokens, outputTokens }: Charge): boolean {
  return uncachedTokens + cachedTokens + outputTokens === 0
}
