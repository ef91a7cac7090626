/**
 * The Durable Object that holds one tenant's limits and money: clock, storage and RPC around `LedgerBook`. An idle object
 * leaves memory after seconds; everything that a limit or a bill depends on is stored before an answer goes out.
 */
import { DurableObject } from 'cloudflare:workers'
import { OUTCOMES_MAX, type Outcome } from '../protocol/outcome.ts'
import type { ReceiptLogRpc } from '../protocol/receipt-record.ts'
import {
  REPORT_ENTRIES_MAX,
  type LeaseAnswer,
  type LeaseAsk,
  type LedgerReport,
  type TenantLedgerRpc,
  type UsageAnswer,
} from '../protocol/tenancy.ts'
import { LedgerJournal } from './ledger-journal.ts'
import { LEASE_HOLD_MS } from './limits/holdings.ts'
import type { LedgerBook } from './limits/ledger-book.ts'

interface LedgerBindings {
  readonly RECEIPT_LOG?: DurableObjectNamespace
}

export class TenantLedger extends DurableObject<LedgerBindings> implements TenantLedgerRpc {
  /** Replaced by tests. */
  nowMs: () => number = () => Date.now()
  readonly #journal: LedgerJournal
  readonly #book: LedgerBook
  #alarmMs: number | null = null

  constructor(state: DurableObjectState, env: LedgerBindings) {
    super(state, env)
    this.#journal = new LedgerJournal(state.storage.sql)
    this.#book = this.#journal.restore(() => crypto.randomUUID(), Date.now())
  }

  async lease(ask: LeaseAsk): Promise<LeaseAnswer> {
    const nowMs = this.nowMs()
    const answer = this.#book.lease({ ...ask, ...bounded(ask) }, nowMs)
    await this.#keep(nowMs)
    return answer
  }

  async report(report: LedgerReport): Promise<void> {
    const nowMs = this.nowMs()
    this.#book.report(bounded(report), nowMs)
    await this.#keep(nowMs)
  }

  async takeOutcomes(outcomes: readonly Outcome[]): Promise<void> {
    const nowMs = this.nowMs()
    const own = outcomes.slice(0, OUTCOMES_MAX).filter(({ tenant }) => tenant === this.ctx.id.name)
    this.#book.takeOutcomes(own, nowMs)
    await this.#keep(nowMs)
    this.ctx.waitUntil(this.#passOn(own))
  }

  async usage(fromDay: string, toDay: string): Promise<UsageAnswer> {
    const { period, spentNanoUsd, heldNanoUsd, underWay } = this.#book.balance(this.nowMs())
    return {
      rows: this.#journal.usage(fromDay, toDay),
      budget: { period, spentNanoUsd, heldNanoUsd },
      requestsUnderWay: underWay,
    }
  }

  /** Ends what is overdue: leases of isolates that are gone, requests whose outcome never came. */
  override async alarm(): Promise<void> {
    const nowMs = this.nowMs()
    this.#alarmMs = null
    this.#book.sweep(nowMs)
    this.#journal.prune(nowMs)
    await this.#keep(nowMs)
  }

  async #keep(nowMs: number): Promise<void> {
    const { changes, state } = this.#book.drain()
    this.#journal.write(changes, state, nowMs)
    // Nothing that begins now is due sooner, and an alarm that rings early finds out by itself when the next is.
    if (this.#alarmMs !== null && this.#alarmMs <= nowMs + LEASE_HOLD_MS) return
    const dueMs = this.#book.nextDueMs()
    if (dueMs === null || (this.#alarmMs !== null && this.#alarmMs <= dueMs)) return
    this.#alarmMs = dueMs
    await this.ctx.storage.setAlarm(dueMs)
  }

  /** To the receipts of the regions whose edges asked. Settlement does not wait for them. */
  async #passOn(outcomes: readonly Outcome[]): Promise<void> {
    const { RECEIPT_LOG } = this.env
    if (!RECEIPT_LOG) return
    for (const region of new Set(outcomes.map(({ edgeRegion }) => edgeRegion))) {
      const stub: unknown = RECEIPT_LOG.get(RECEIPT_LOG.idFromName(region))
      const ofRegion = outcomes.filter(({ edgeRegion }) => edgeRegion === region)
      await (stub as ReceiptLogRpc).takeOutcomes(ofRegion).catch(() => undefined)
    }
  }
}

function bounded(report: LedgerReport): LedgerReport {
  const { terms, admitted, ended, released, returned } = report
  return {
    terms,
    admitted: admitted.slice(0, REPORT_ENTRIES_MAX),
    ended: ended.slice(0, REPORT_ENTRIES_MAX),
    released: released.slice(0, REPORT_ENTRIES_MAX),
    returned: returned.slice(0, REPORT_ENTRIES_MAX),
  }
}
