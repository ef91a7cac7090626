/**
 * Brings outcomes to the ledgers of their tenants. It runs beside everything else: lookups and reports never wait for it,
 * and what a slow or failing ledger has not taken within its bound is given back to the agent.
 */
import type { Outcome, OutcomeSink } from '../protocol/outcome.ts'

/** How long one ledger may take. */
export const LEDGER_MS_MAX = 5000
/** Batches under way at once; an agent sends again what finds no room. */
export const DELIVERIES_MAX = 8

export class OutcomeDelivery {
  readonly #sinkOf: (tenant: string) => OutcomeSink
  readonly #ledgerMsMax: number
  #underway = 0

  constructor(sinkOf: (tenant: string) => OutcomeSink, ledgerMsMax: number = LEDGER_MS_MAX) {
    this.#sinkOf = sinkOf
    this.#ledgerMsMax = ledgerMsMax
  }

  /** The indexes of the outcomes that no ledger has taken, or null when there is no room for the batch. Never rejects. */
  async deliver(outcomes: readonly Outcome[]): Promise<number[] | null> {
    if (this.#underway >= DELIVERIES_MAX) return null
    this.#underway++
    try {
      const byTenant = new Map<string, number[]>()
      for (const [index, { tenant }] of outcomes.entries()) {
        byTenant.set(tenant, [...(byTenant.get(tenant) ?? []), index])
      }
      const untaken = await Promise.all(
        Array.from(byTenant, async ([tenant, indexes]) => {
          const own = indexes.flatMap((index) => outcomes[index] ?? [])
          return (await this.#isTaken(tenant, own)) ? [] : indexes
        }),
      )
      return untaken.flat()
    } finally {
      this.#underway--
    }
  }

  async #isTaken(tenant: string, outcomes: readonly Outcome[]): Promise<boolean> {
    let timer: ReturnType<typeof setTimeout> | null = null
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), this.#ledgerMsMax)
    })
    try {
      const taking = this.#sinkOf(tenant)
        .takeOutcomes(outcomes)
        .then(
          () => true,
          () => false,
        )
      return await Promise.race([taking, late])
    } catch {
      return false
    } finally {
      clearTimeout(timer)
    }
  }
}
