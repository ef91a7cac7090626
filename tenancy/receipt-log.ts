/**
 * The Durable Object that keeps a region's receipts and counts its requests. The ring is in memory; the batches that made
 * it are stored, a row each, so that an object that has slept can make it again.
 */
import { DurableObject } from 'cloudflare:workers'
import { OUTCOMES_MAX, type Outcome } from '../protocol/outcome.ts'
import {
  NOTES_MAX,
  type EdgeNote,
  type MetricsSnapshot,
  type NoteBatch,
  type ReceiptLogRpc,
  type ReceiptPage,
  type ReceiptRecord,
} from '../protocol/receipt-record.ts'
import { FlushPace } from './receipts/flush-pace.ts'
import { ReceiptRing, RECEIPTS_MAX } from './receipts/receipt-ring.ts'
import { Tally, type TallyState } from './receipts/tally.ts'

const PAGE_MAX = 1000

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS batches (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, first_seq INTEGER NOT NULL, entries INTEGER NOT NULL, body TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS tally (id INTEGER PRIMARY KEY CHECK (id = 1), next_seq INTEGER NOT NULL, body TEXT NOT NULL);
`

type Batch = { readonly notes: readonly EdgeNote[] } | { readonly outcomes: readonly Outcome[] }

export class ReceiptLog extends DurableObject<object> implements ReceiptLogRpc {
  /** Replaced by tests. */
  nowMs: () => number = () => Date.now()
  readonly #sql: SqlStorage
  readonly #ring: ReceiptRing
  readonly #tally: Tally
  #entries = 0
  readonly #pace = new FlushPace()

  constructor(state: DurableObjectState, env: object) {
    super(state, env)
    this.#sql = state.storage.sql
    this.#sql.exec(SCHEMA)
    const [stored] = this.#sql.exec<{ next_seq: number; body: string }>('SELECT next_seq, body FROM tally')
    this.#tally = new Tally(stored ? (JSON.parse(stored.body) as TallyState) : null)
    const batches = this.#sql.exec<{ at_ms: number; first_seq: number; entries: number; body: string }>(
      'SELECT at_ms, first_seq, entries, body FROM batches ORDER BY id',
    )
    this.#ring = new ReceiptRing()
    for (const { at_ms, first_seq, entries, body } of batches) {
      this.#entries += entries
      // Each receipt has the number that it had: readers keep their place over an eviction.
      this.#ring.continueAt(first_seq)
      this.#apply(JSON.parse(body) as Batch, at_ms)
    }
    this.#ring.continueAt(stored?.next_seq ?? 1)
  }

  async note({ notes, counters }: NoteBatch): Promise<{ flushMs: number }> {
    const nowMs = this.nowMs()
    const firstSeq = this.#ring.nextSeq
    const told = JSON.parse(notes) as EdgeNote[]
    const fresh = this.#apply({ notes: told.slice(0, NOTES_MAX) }, nowMs).notes
    for (const note of fresh) this.#tally.addNote(note)
    this.#tally.addEvents(counters)
    // Nearly always all of it is new, and stands as it came.
    const kept = fresh.length === told.length ? notes : JSON.stringify(fresh)
    this.#keep(`{"notes":${kept}}`, fresh.length, firstSeq, nowMs)
    return { flushMs: this.#pace.hear(nowMs) }
  }

  async takeOutcomes(outcomes: readonly Outcome[]): Promise<void> {
    const nowMs = this.nowMs()
    const firstSeq = this.#ring.nextSeq
    const fresh = this.#apply({ outcomes: outcomes.slice(0, OUTCOMES_MAX) }, nowMs).outcomes
    for (const outcome of fresh) this.#tally.addOutcome(outcome)
    if (fresh.length > 0) this.#keep(JSON.stringify({ outcomes: fresh }), fresh.length, firstSeq, nowMs)
  }

  async find(tenant: string, requestId: string): Promise<ReceiptRecord | null> {
    return this.#ring.find(tenant, requestId)
  }

  async read(after: number, limit: number): Promise<ReceiptPage> {
    return this.#ring.read(after, Math.min(limit, PAGE_MAX), this.nowMs())
  }

  async metrics(): Promise<MetricsSnapshot> {
    return this.#tally.snapshot()
  }

  /** Gives what was told for the first time. */
  #apply(batch: Batch, nowMs: number): { notes: EdgeNote[]; outcomes: Outcome[] } {
    const notes = 'notes' in batch ? batch.notes : []
    const outcomes = 'outcomes' in batch ? batch.outcomes : []
    return {
      notes: notes.filter((note) => this.#ring.addNote(note, nowMs)),
      outcomes: outcomes.filter((outcome) => this.#ring.addOutcome(outcome, nowMs)),
    }
  }

  /** `body` is a `Batch` as JSON. */
  #keep(body: string, entries: number, firstSeq: number, nowMs: number): void {
    const sql = this.#sql
    const tally = JSON.stringify(this.#tally.state())
    sql.exec('INSERT OR REPLACE INTO tally (id, next_seq, body) VALUES (1, ?, ?)', this.#ring.nextSeq, tally)
    if (entries === 0) return
    sql.exec(
      'INSERT INTO batches (at_ms, first_seq, entries, body) VALUES (?, ?, ?, ?)',
      nowMs,
      firstSeq,
      entries,
      body,
    )
    this.#entries += entries
    // Each receipt has two parts.
    while (this.#entries > 2 * RECEIPTS_MAX) {
      const [oldest] = sql.exec<{ id: number; entries: number }>(
        'SELECT id, entries FROM batches ORDER BY id LIMIT 1',
      )
      if (!oldest) return
      this.#entries -= oldest.entries
      sql.exec('DELETE FROM batches WHERE id = ?', oldest.id)
    }
  }
}
