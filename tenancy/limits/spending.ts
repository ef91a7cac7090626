/** Money by day, and the periods that budgets speak of. Days are those of UTC on the ledger's clock, when it settled. */
import type { LedgerTerms } from '../../protocol/tenancy.ts'

/** Days that are remembered: a month and what a period that has just ended needs. */
const DAYS_MAX = 40
const DAY_MS = 86_400_000

/** `2026-11-25`. */
export function dayOf(nowMs: number): string {
  return new Date(nowMs).toISOString().slice(0, 10)
}

/** `2026-11-25` or `2026-11`. */
export function periodOf(period: 'day' | 'month', nowMs: number): string {
  return dayOf(nowMs).slice(0, period === 'day' ? 10 : 7)
}

export function periodEndMs(period: 'day' | 'month', nowMs: number): number {
  const now = new Date(nowMs)
  if (period === 'day') return (Math.floor(nowMs / DAY_MS) + 1) * DAY_MS
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)
}

export class Spending {
  readonly #nanoUsdByDay: Map<string, number>

  constructor(nanoUsdByDay: ReadonlyMap<string, number>) {
    this.#nanoUsdByDay = new Map(nanoUsdByDay)
  }

  add(day: string, nanoUsd: number): void {
    this.#nanoUsdByDay.set(day, (this.#nanoUsdByDay.get(day) ?? 0) + nanoUsd)
    if (this.#nanoUsdByDay.size <= DAYS_MAX) return
    const first = [...this.#nanoUsdByDay.keys()].sort()[0]
    if (first !== undefined) this.#nanoUsdByDay.delete(first)
  }

  inPeriod(period: 'day' | 'month', nowMs: number): number {
    const prefix = periodOf(period, nowMs)
    let sum = 0
    for (const [day, nanoUsd] of this.#nanoUsdByDay) if (day.startsWith(prefix)) sum += nanoUsd
    return sum
  }

  /** Infinity without a budget. */
  left(budget: LedgerTerms['budget'], nowMs: number): number {
    return budget === null ? Infinity : budget.nanoUsd - this.inPeriod(budget.period, nowMs)
  }
}
