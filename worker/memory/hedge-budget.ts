/** How many duplicates may go out: each request of a tenant earns its policy's share of one, and each duplicate costs one. */

/** What may be saved up: a burst of duplicates is what overload looks like from here. */
const SAVED_MAX = 4
const TENANTS_MAX = 4096

export class HedgeBudget {
  readonly #saved = new Map<string, number>()

  earn(tenant: string, share: number): void {
    const saved = this.#saved.get(tenant) ?? 0
    if (saved === 0 && this.#saved.size >= TENANTS_MAX) this.#saved.clear()
    this.#saved.set(tenant, Math.min(saved + share, SAVED_MAX))
  }

  /** Whether a duplicate may go; then it is paid for. */
  spend(tenant: string): boolean {
    const saved = this.#saved.get(tenant) ?? 0
    if (saved < 1) return false
    this.#saved.set(tenant, saved - 1)
    return true
  }
}
