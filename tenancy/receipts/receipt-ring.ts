/**
 * The last receipts of a region, bounded. Edge and agent tell their parts in any order and perhaps twice; they meet under
 * tenant and request.
 */
import type { Outcome } from '../../protocol/outcome.ts'
import {
  RECORD_ATTEMPTS_MAX,
  type EdgeNote,
  type ReceiptPage,
  type ReceiptRecord,
} from '../../protocol/receipt-record.ts'
import { attributesOf } from './attributes.ts'

export const RECEIPTS_MAX = 5000
/** How long a reader of the ring waits for an outcome. */
export const OUTCOME_WAIT_MS = 30_000

interface Entry {
  readonly seq: number
  readonly sinceMs: number
  edge: EdgeNote | null
  readonly outcomes: Map<number, Outcome>
}

export class ReceiptRing {
  /** By tenant and request, oldest first. */
  readonly #entries = new Map<string, Entry>()
  #nextSeq = 1

  get size(): number {
    return this.#entries.size
  }

  get nextSeq(): number {
    return this.#nextSeq
  }

  continueAt(nextSeq: number): void {
    this.#nextSeq = nextSeq
  }

  /** Whether this part is told for the first time. */
  addNote(note: EdgeNote, nowMs: number): boolean {
    const entry = this.#entryOf(note.tenant, note.requestId, nowMs)
    const isFirst = entry.edge === null
    entry.edge ??= note
    return isFirst
  }

  addOutcome(outcome: Outcome, nowMs: number): boolean {
    const entry = this.#entryOf(outcome.tenant, outcome.requestId, nowMs)
    if (entry.outcomes.has(outcome.attempt) || entry.outcomes.size >= RECORD_ATTEMPTS_MAX) return false
    entry.outcomes.set(outcome.attempt, outcome)
    return true
  }

  find(tenant: string, requestId: string): ReceiptRecord | null {
    const entry = this.#entries.get(keyOf(tenant, requestId))
    return entry ? recordOf(entry) : null
  }

  read(after: number, limit: number, nowMs: number): ReceiptPage {
    const records: ReceiptRecord[] = []
    for (const entry of this.#entries.values()) {
      if (entry.seq <= after) continue
      const isWaiting = entry.outcomes.size === 0 && nowMs - entry.sinceMs < OUTCOME_WAIT_MS
      if (records.length >= limit || (isWaiting && isExpected(entry.edge))) break
      records.push(recordOf(entry))
    }
    return { records, after: records.at(-1)?.seq ?? after }
  }

  #entryOf(tenant: string, requestId: string, nowMs: number): Entry {
    const key = keyOf(tenant, requestId)
    const known = this.#entries.get(key)
    if (known) return known
    const entry: Entry = { seq: this.#nextSeq++, sinceMs: nowMs, edge: null, outcomes: new Map() }
    this.#entries.set(key, entry)
    if (this.#entries.size > RECEIPTS_MAX) {
      const oldest = this.#entries.keys().next()
      if (!oldest.done) this.#entries.delete(oldest.value)
    }
    return entry
  }
}

/** A request that reached no cluster has no outcome, nor has one about a response that is kept. */
function isExpected(edge: EdgeNote | null): boolean {
  return edge === null || (edge.attempts.length > 0 && edge.reason !== 'kept')
}

function recordOf({ seq, edge, outcomes }: Entry): ReceiptRecord {
  const byAttempt = [...outcomes.values()].sort((a, b) => a.attempt - b.attempt)
  return { seq, edge, outcomes: byAttempt, attributes: attributesOf(edge, byAttempt) }
}

/** Names and ids hold no blank. */
function keyOf(tenant: string, requestId: string): string {
  return `${tenant} ${requestId}`
}
