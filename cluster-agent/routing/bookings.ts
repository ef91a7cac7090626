/**
 * Load that the agent itself caused: booked on choice, released on completion. It replaces polling: a burst must not see
 * a frozen queue. Prefill is worked off in order; the head's share counts down with time. A booking that nobody renews
 * expires, so nothing leaks.
 */
import type { EndpointLoad } from './endpoint.ts'

/** A leg without a sign of life for this long is gone. */
export const LEASE_MS = 300_000

interface PrefillBooking {
  readonly ms: number
  readonly tokens: number
  leaseEndMs: number
}

interface Ledger {
  readonly prefills: Map<string, PrefillBooking>
  readonly decodes: Map<string, { readonly tokens: number; leaseEndMs: number }>
  /** Since when the first prefill is being worked on. */
  headSinceMs: number
}

export class Bookings {
  readonly #ledgers: Ledger[] = []
  readonly #kvTokens: number[] = []

  /** `kvTokens`: KV space by endpoint number. */
  constructor(kvTokens: readonly number[] = []) {
    for (const [endpoint, tokens] of kvTokens.entries()) this.setCapacity(endpoint, tokens)
  }

  /** Opens the books of an endpoint, or corrects its KV space. */
  setCapacity(endpoint: number, kvTokens: number): void {
    this.#kvTokens[endpoint] = kvTokens
    this.#ledgers[endpoint] ??= { prefills: new Map(), decodes: new Map(), headSinceMs: 0 }
  }

  bookPrefill(endpoint: number, id: string, ms: number, tokens: number, nowMs: number): void {
    const ledger = this.#ledgers[endpoint]
    if (!ledger) return
    if (ledger.prefills.size === 0) ledger.headSinceMs = nowMs
    ledger.prefills.set(id, { ms, tokens, leaseEndMs: nowMs + LEASE_MS })
  }

  releasePrefill(endpoint: number, id: string, nowMs: number): void {
    const ledger = this.#ledgers[endpoint]
    if (!ledger) return
    const head = ledger.prefills.keys().next().value
    if (ledger.prefills.delete(id) && head === id) ledger.headSinceMs = nowMs
  }

  /** `tokens`: prompt and answer, the space that the sequence may come to hold. */
  bookDecode(endpoint: number, id: string, tokens: number, nowMs: number): void {
    this.#ledgers[endpoint]?.decodes.set(id, { tokens, leaseEndMs: nowMs + LEASE_MS })
  }

  renewDecode(endpoint: number, id: string, nowMs: number): void {
    const booking = this.#ledgers[endpoint]?.decodes.get(id)
    if (booking) booking.leaseEndMs = nowMs + LEASE_MS
  }

  releaseDecode(endpoint: number, id: string): void {
    this.#ledgers[endpoint]?.decodes.delete(id)
  }

  load(endpoint: number, nowMs: number): EndpointLoad {
    const ledger = this.#ledgers[endpoint]
    if (!ledger) return { backlogMs: 0, kvPressure: 0, decoding: 0 }
    this.#expire(ledger, nowMs)
    let totalMs = 0
    let tokens = 0
    let headMs = 0
    for (const booking of ledger.prefills.values()) {
      if (totalMs === 0) headMs = booking.ms
      totalMs += booking.ms
      tokens += booking.tokens
    }
    for (const booking of ledger.decodes.values()) tokens += booking.tokens
    const doneMs = Math.min(Math.max(nowMs - ledger.headSinceMs, 0), headMs)
    return {
      backlogMs: totalMs - doneMs,
      kvPressure: Math.min(tokens / (this.#kvTokens[endpoint] ?? 1), 1),
      decoding: ledger.decodes.size,
    }
  }

  /** Legs under way at all endpoints: zero when nothing is. */
  get count(): number {
    return this.#ledgers.reduce((sum, { prefills, decodes }) => sum + prefills.size + decodes.size, 0)
  }

  /** Legs under way at one endpoint. */
  countOf(endpoint: number, nowMs: number): number {
    const ledger = this.#ledgers[endpoint]
    if (!ledger) return 0
    this.#expire(ledger, nowMs)
    return ledger.prefills.size + ledger.decodes.size
  }

  #expire(ledger: Ledger, nowMs: number): void {
    for (const [id, { leaseEndMs }] of ledger.prefills) if (leaseEndMs <= nowMs) ledger.prefills.delete(id)
    for (const [id, { leaseEndMs }] of ledger.decodes) if (leaseEndMs <= nowMs) ledger.decodes.delete(id)
  }
}
