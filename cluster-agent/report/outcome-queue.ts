/**
 * Outcomes on their way to one directory: kept until its ledgers have taken them, bounded, in batches, one batch in
 * flight. What a ledger did not take goes out again later, so one failing ledger holds up nobody else's outcomes.
 */
import { OUTCOMES_MAX, OUTCOMES_PENDING_MAX, type Outcome } from '../../protocol/outcome.ts'

/** A batch without an acknowledgement goes out again after this long, with the same number. */
export const OUTCOMES_RESEND_MS = 5000
/** An outcome that no ledger took waits this long, doubled each time up to the bound. */
export const OUTCOME_RETRY_MS = 1000
export const OUTCOME_RETRY_MS_MAX = 60_000

export interface OutcomeBatch {
  readonly batch: number
  readonly outcomes: readonly Outcome[]
}

interface Entry {
  readonly outcome: Outcome
  readonly tries: number
  readonly notBeforeMs: number
}

interface Flight {
  readonly batch: number
  readonly entries: readonly Entry[]
  sentMs: number
}

export class OutcomeQueue {
  readonly #pendingMax: number
  #waiting: Entry[] = []
  #delayed: Entry[] = []
  #flight: Flight | null = null
  #batch = 0
  /** Oldest outcomes that gave way to new ones. */
  dropped = 0

  constructor(pendingMax: number = OUTCOMES_PENDING_MAX) {
    this.#pendingMax = pendingMax
  }

  /** Outcomes that no ledger is known to have. */
  get pending(): number {
    return this.#waiting.length + this.#delayed.length + (this.#flight?.entries.length ?? 0)
  }

  note(outcome: Outcome): void {
    this.#waiting.push({ outcome, tries: 0, notBeforeMs: 0 })
    if (this.pending <= this.#pendingMax) return
    if (this.#waiting.length > 1) this.#waiting.shift()
    else this.#delayed.shift()
    this.dropped++
  }

  /** The batch to send at `nowMs`, if any: the one in flight when its acknowledgement is overdue, else a new one. */
  due(nowMs: number): OutcomeBatch | null {
    const flight = this.#flight ?? this.#load(nowMs)
    if (flight === null || nowMs < flight.sentMs + OUTCOMES_RESEND_MS) return null
    flight.sentMs = nowMs
    return { batch: flight.batch, outcomes: flight.entries.map(({ outcome }) => outcome) }
  }

  /** The batch is with the ledgers, but for the outcomes at the indexes `untaken`. */
  acknowledge(batch: number, untaken: readonly number[], nowMs: number): void {
    const flight = this.#flight
    if (flight?.batch !== batch) return
    this.#flight = null
    for (const index of new Set(untaken)) {
      const entry = flight.entries[index]
      if (!entry) continue
      const delayMs = Math.min(OUTCOME_RETRY_MS * 2 ** entry.tries, OUTCOME_RETRY_MS_MAX)
      this.#delayed.push({
        outcome: entry.outcome,
        tries: entry.tries + 1,
        notBeforeMs: nowMs + delayMs,
      })
    }
  }

  /** The connection is another one: what is in flight goes out again at once. */
  reconnect(): void {
    if (this.#flight !== null) this.#flight.sentMs = -Infinity
  }

  #load(nowMs: number): Flight | null {
    const due = this.#delayed.filter(({ notBeforeMs }) => notBeforeMs <= nowMs).slice(0, OUTCOMES_MAX / 2)
    const entries = [...due, ...this.#waiting.splice(0, OUTCOMES_MAX - due.length)]
    if (entries.length === 0) return null
    const taken = new Set(due)
    this.#delayed = this.#delayed.filter((entry) => !taken.has(entry))
    this.#batch = (this.#batch + 1) >>> 0
    this.#flight = { batch: this.#batch, entries, sentMs: -Infinity }
    return this.#flight
  }
}
