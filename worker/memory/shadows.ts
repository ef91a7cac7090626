/** What shadow policies would have done otherwise, summed up until it is sent. Bounded by the shadows that run. */
import { addShadowTally } from '../../core/shadow-tally.ts'
import type { ShadowTally } from '../../protocol/policy-store.ts'

const SHADOWS_MAX = 256

export interface TenantShadow {
  readonly tenant: string
  readonly version: number
  readonly tally: ShadowTally
}

export class Shadows {
  readonly #waiting = new Map<string, TenantShadow>()

  add(tenant: string, version: number, tally: ShadowTally): void {
    const key = `${tenant} ${version}`
    const before = this.#waiting.get(key)
    if (!before && this.#waiting.size >= SHADOWS_MAX) return
    this.#waiting.set(key, { tenant, version, tally: addShadowTally(before?.tally ?? null, tally) })
  }

  take(): TenantShadow[] {
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    return waiting
  }
}
