/**
 * Load that the agent itself caused: booked on choice, released on completion. It replaces polling: a burst must not see
 * a frozen queue. Prefill is worked off in order; the head's share counts down with time. A booking that nobody renews
 * expires, so nothing leaks. Sums are kept, not computed: a load costs the same with ten and ten thousand sequences.
 */
import { countDecode, Ledger, PREFILL_WEIGHT, type DecodeBooking, type Foreign } from './booking-ledger.ts'
import { IDLE, type EndpointLoad } from './endpoint.ts'

/** A leg without a sign of life for this long is gone. */
export const LEASE_MS = 300_000

/** Beside its milliseconds, what a prefill does. */
export interface PrefillWork {
  /** Tokens that it computes. */
  readonly newTokens?: number
  /** Nothing is heard of it before the whole answer is there: it counts as done when its time has passed. */
  readonly isSilent?: boolean
}

/** What the agent itself has at an endpoint. */
export interface Booked {
  readonly waiting: number
  readonly decoding: number
  readonly contextTokens: number
}

export class Bookings {
  readonly #ledgers: Ledger[] = []
  /** By id, over all endpoints, in the order in which leases end at the earliest. */
  readonly #decodes = new Map<string, DecodeBooking>()

  /** `kvTokens`: KV space by endpoint number. */
  constructor(kvTokens: readonly number[] = []) {
    for (const [endpoint, tokens] of kvTokens.entries()) this.setCapacity(endpoint, tokens)
  }

  /** Opens the books of an endpoint, or corrects its KV space. */
  setCapacity(endpoint: number, kvTokens: number): void {
    const ledger = this.#ledgers[endpoint]
    if (ledger) ledger.kvTokens = kvTokens
    else this.#ledgers[endpoint] = new Ledger(kvTokens)
  }

  /** See `Ledger.pinnedShare`; comes from the engine's own metrics. */
  setPinnedShare(endpoint: number, share: number): void {
    const ledger = this.#ledgers[endpoint]
    if (ledger) ledger.pinnedShare = share
  }

  setForeign(endpoint: number, foreign: Foreign): void {
    const ledger = this.#ledgers[endpoint]
    if (ledger) ledger.foreign = foreign
  }

  /** `tokens`: KV space beyond what the decode booking of the same id holds. */
  bookPrefill(
    endpoint: number,
    id: string,
    ms: number,
    tokens: number,
    nowMs: number,
    { newTokens = 0, isSilent = false }: PrefillWork = {},
  ): void {
    const ledger = this.#ledgers[endpoint]
    if (!ledger) return
    this.#dropPrefill(ledger, id, nowMs)
    if (ledger.prefills.size === 0) ledger.headSinceMs = nowMs
    ledger.prefills.set(id, { ms, tokens, newTokens, isSilent, leaseEndMs: nowMs + LEASE_MS })
    ledger.backlogMs += ms
    ledger.prefillMs += (ms - ledger.prefillMs) * PREFILL_WEIGHT
    ledger.backlogTokens += newTokens
    ledger.tokens += tokens
  }

  /** The first token is there: the decode booking of the same id takes part in the steps from here on. */
  releasePrefill(endpoint: number, id: string, nowMs: number): void {
    const ledger = this.#ledgers[endpoint]
    if (ledger && this.#dropPrefill(ledger, id, nowMs)) this.#startDecode(id)
  }

  /** `tokens`: prompt and answer, the space that the sequence may come to hold; `answerTokens` of them still to come. */
  bookDecode(endpoint: number, id: string, tokens: number, nowMs: number, answerTokens = 0): void {
    const ledger = this.#ledgers[endpoint]
    if (!ledger) return
    this.#dropDecode(id)
    const endMs = nowMs + LEASE_MS
    const isDecoding = !ledger.prefills.has(id)
    const entry = { endpoint, tokens, answerTokens, isDecoding, leaseEndMs: endMs, placedEndMs: endMs }
    this.#decodes.set(id, entry)
    ledger.tokens += tokens
    ledger.decodes++
    ledger.answerTokens += answerTokens
    if (isDecoding) countDecode(ledger, entry, 1)
  }

  renewDecode(endpoint: number, id: string, nowMs: number): void {
    const booking = this.#decodes.get(id)
    if (booking?.endpoint === endpoint) booking.leaseEndMs = nowMs + LEASE_MS
  }

  releaseDecode(endpoint: number, id: string): void {
    if (this.#decodes.get(id)?.endpoint === endpoint) this.#dropDecode(id)
  }

  load(endpoint: number, nowMs: number): EndpointLoad {
    const ledger = this.#ledgers[endpoint]
    if (!ledger) return IDLE
    this.#expireDecodes(nowMs)
    const doneMs = this.#advance(ledger, nowMs)
    const pinnedTokens = ledger.tokens * ledger.pinnedShare
    const { foreign } = ledger
    const ownMs = Math.max(ledger.backlogMs - doneMs, 0)
    return {
      backlogMs: ownMs + foreign.waiting * ledger.prefillMs,
      backlogTokens: ledger.backlogTokens,
      pinnedTokens,
      kvPressure: Math.min(pinnedTokens / Math.max(ledger.kvTokens, 1), 1),
      decoding: ledger.decoding + foreign.decoding,
      contextTokens:
        ledger.contextTokens + foreign.decoding * (ledger.contextTokens / Math.max(ledger.decoding, 1)),
      answerTokens: ledger.decodes > 0 ? ledger.answerTokens / ledger.decodes : 0,
    }
  }

  booked(endpoint: number, nowMs: number): Booked {
    const ledger = this.#ledgers[endpoint]
    if (!ledger) return { waiting: 0, decoding: 0, contextTokens: 0 }
    this.#expireDecodes(nowMs)
    this.#advance(ledger, nowMs)
    return {
      waiting: ledger.prefills.size,
      decoding: ledger.decoding,
      contextTokens: ledger.contextTokens,
    }
  }

  /** Legs under way at one endpoint, those that expired not counted. */
  countOf(endpoint: number, nowMs: number): number {
    const ledger = this.#ledgers[endpoint]
    if (!ledger) return 0
    this.#expireDecodes(nowMs)
    this.#advance(ledger, nowMs)
    return ledger.prefills.size + ledger.decodes
  }

  /** Legs under way at all endpoints: zero when nothing is. */
  get count(): number {
    return this.#ledgers.reduce((sum, { prefills }) => sum + prefills.size, this.#decodes.size)
  }

  /** Ends what has ended at the head of the queue; gives how much of the new head is done. */
  #advance(ledger: Ledger, nowMs: number): number {
    for (const [id, { ms, isSilent, leaseEndMs }] of ledger.prefills) {
      if (leaseEndMs <= nowMs) {
        this.#dropPrefill(ledger, id, nowMs)
        continue
      }
      const doneMs = Math.max(nowMs - ledger.headSinceMs, 0)
      if (!isSilent || doneMs < ms) return Math.min(doneMs, ms)
      this.#dropPrefill(ledger, id, ledger.headSinceMs + ms)
      this.#startDecode(id)
    }
    return 0
  }

  #dropPrefill(ledger: Ledger, id: string, nowMs: number): boolean {
    const booking = ledger.prefills.get(id)
    if (!booking) return false
    const isHead = ledger.prefills.keys().next().value === id
    ledger.prefills.delete(id)
    if (isHead) ledger.headSinceMs = nowMs
    ledger.tokens -= booking.tokens
    ledger.backlogTokens -= booking.newTokens
    // Sums of fractions drift: an empty queue is exactly empty.
    ledger.backlogMs = ledger.prefills.size === 0 ? 0 : ledger.backlogMs - booking.ms
    return true
  }

  #startDecode(id: string): void {
    const booking = this.#decodes.get(id)
    const ledger = booking && this.#ledgers[booking.endpoint]
    if (!ledger || booking.isDecoding) return
    booking.isDecoding = true
    countDecode(ledger, booking, 1)
  }

  #dropDecode(id: string): void {
    const booking = this.#decodes.get(id)
    const ledger = booking && this.#ledgers[booking.endpoint]
    if (!ledger) return
    this.#decodes.delete(id)
    ledger.tokens -= booking.tokens
    ledger.decodes--
    ledger.answerTokens -= booking.answerTokens
    if (booking.isDecoding) countDecode(ledger, booking, -1)
  }

  /** Renewed bookings go to the end of the order only when they come to its head: a token costs one assignment. */
  #expireDecodes(nowMs: number): void {
    for (const [id, booking] of this.#decodes) {
      if (booking.placedEndMs > nowMs) return
      if (booking.leaseEndMs <= nowMs) {
        this.#dropDecode(id)
        continue
      }
      this.#decodes.delete(id)
      booking.placedEndMs = booking.leaseEndMs
      this.#decodes.set(id, booking)
    }
  }
}
