/**
 * Which requests are settled, and at what charge: bounded, and still never twice. What is forgotten moves a watermark up
 * to its end; an outcome that ended at or below it is refused unless its reservation is open, which settling closes.
 */
import type { Charge } from './charge.ts'

export interface SettledEntry {
  readonly requestId: string
  readonly endedMs: number
  /** When the ledger took it, on its own clock. */
  readonly atMs: number
  readonly charge: Charge
}

export const SETTLED_MAX = 50_000
export const SETTLED_MS_MAX = 24 * 3_600_000
/** Clocks of agents may differ from the ledger's by this much; envelopes are refused beyond it too. */
export const SKEW_MS_MAX = 60_000

export class Settled {
  /** By request, oldest settlement first. */
  readonly #entries = new Map<string, SettledEntry>()
  #watermarkMs: number

  constructor(watermarkMs: number) {
    this.#watermarkMs = watermarkMs
  }

  get watermarkMs(): number {
    return this.#watermarkMs
  }

  get size(): number {
    return this.#entries.size
  }

  entries(): IterableIterator<SettledEntry> {
    return this.#entries.values()
  }

  get(requestId: string): SettledEntry | undefined {
    return this.#entries.get(requestId)
  }

  /** Whether an outcome that no reservation waits for, and nobody remembers, can be one that is forgotten. */
  mayBeForgotten(endedMs: number, nowMs: number): boolean {
    return endedMs <= this.#watermarkMs || endedMs > nowMs + SKEW_MS_MAX
  }

  set(entry: SettledEntry): void {
    // A later attempt keeps the place of the first: retention counts from there.
    this.#entries.set(entry.requestId, entry)
    if (this.#entries.size > SETTLED_MAX) this.#forgetFirst()
  }

  /** Forgets what is older than its retention. */
  prune(nowMs: number): void {
    for (const entry of this.#entries.values()) {
      if (entry.atMs > nowMs - SETTLED_MS_MAX) return
      this.#forgetFirst()
    }
  }

  #forgetFirst(): void {
    const first = this.#entries.values().next()
    if (first.done) return
    const { requestId, endedMs } = first.value
    this.#entries.delete(requestId)
    this.#watermarkMs = Math.max(this.#watermarkMs, endedMs)
  }
}
