/**
 * Where a ledger's book is kept: one row for what an operation opened or settled, however many requests that is, because
 * rows written are what an object costs. Reading it back gives the book as it was.
 */
import type { UsageRow } from '../protocol/tenancy.ts'
import type { HeldLease, UnderWay } from './limits/holdings.ts'
import { LedgerBook } from './limits/ledger-book.ts'
import { EMPTY_STATE, type BookState, type LedgerChanges } from './limits/ledger-changes.ts'
import { SETTLED_MAX, SETTLED_MS_MAX, type SettledEntry } from './limits/settled.ts'

const USAGE_DAYS_MAX = 400
const DAY_MS = 86_400_000

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS leases (lease TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS opened (batch INTEGER PRIMARY KEY, body TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS settled (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, entries INTEGER NOT NULL, body TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS usage (
    day TEXT, model TEXT, requests INTEGER NOT NULL, uncached INTEGER NOT NULL, cached INTEGER NOT NULL,
    output INTEGER NOT NULL, nano_usd INTEGER NOT NULL, lost INTEGER NOT NULL, PRIMARY KEY (day, model)
  ) WITHOUT ROWID;
`

export class LedgerJournal {
  readonly #sql: SqlStorage
  /** Requests still open of each stored report. */
  readonly #openByBatch = new Map<number, number>()
  #settledEntries = 0

  constructor(sql: SqlStorage) {
    this.#sql = sql
    sql.exec(SCHEMA)
  }

  restore(newId: () => string, nowMs: number): LedgerBook {
    const [row] = this.#bodies<BookState>('SELECT body FROM state')
    const days = this.#sql.exec<{ day: string; nano_usd: number }>(
      'SELECT day, SUM(nano_usd) AS nano_usd FROM usage WHERE day >= ? GROUP BY day',
      new Date(nowMs - 40 * DAY_MS).toISOString().slice(0, 10),
    )
    const nanoUsdByDay = new Map([...days].map(({ day, nano_usd }) => [day, nano_usd]))
    const book = new LedgerBook(row ?? EMPTY_STATE, nanoUsdByDay, newId)
    const settled = new Set<string>()
    for (const entries of this.#bodies<SettledEntry[]>('SELECT body FROM settled ORDER BY id')) {
      this.#settledEntries += entries.length
      for (const entry of entries) {
        settled.add(entry.requestId)
        book.restoreSettled(entry)
      }
    }
    for (const lease of this.#bodies<HeldLease>('SELECT body FROM leases')) book.restoreLease(lease)
    for (const requests of this.#bodies<UnderWay[]>('SELECT body FROM opened ORDER BY batch')) {
      for (const request of requests) {
        if (settled.has(request.requestId)) continue
        book.restoreUnderWay(request)
        this.#openByBatch.set(request.batch, (this.#openByBatch.get(request.batch) ?? 0) + 1)
      }
    }
    book.drain()
    return book
  }

  /** Writes without a wait between: the platform commits them together. */
  write(changes: LedgerChanges, state: BookState, nowMs: number): void {
    if (changes.isEmpty) return
    const sql = this.#sql
    sql.exec('INSERT OR REPLACE INTO state (id, body) VALUES (1, ?)', JSON.stringify(state))
    for (const [lease, held] of changes.leases) {
      if (held === null) sql.exec('DELETE FROM leases WHERE lease = ?', lease)
      else sql.exec('INSERT OR REPLACE INTO leases (lease, body) VALUES (?, ?)', lease, JSON.stringify(held))
    }
    const [first] = changes.opened
    if (first) {
      this.#openByBatch.set(first.batch, changes.opened.length)
      const body = JSON.stringify(changes.opened)
      sql.exec('INSERT OR REPLACE INTO opened (batch, body) VALUES (?, ?)', first.batch, body)
    }
    for (const [batch, closed] of changes.closedByBatch) this.#close(batch, closed)
    if (changes.settled.length > 0) this.#writeSettled(changes.settled, nowMs)
    for (const row of changes.usage.values()) this.#addUsage(row)
  }

  usage(fromDay: string, toDay: string): UsageRow[] {
    const rows = this.#sql.exec<Record<string, string | number>>(
      `SELECT day, model, requests, uncached AS uncachedTokens, cached AS cachedTokens, output AS outputTokens,
        nano_usd AS nanoUsd, lost AS lostRequests
      FROM usage WHERE day BETWEEN ? AND ? ORDER BY day, model`,
      fromDay,
      toDay,
    )
    return [...rows] as unknown as UsageRow[]
  }

  /** Forgets what is older than its retention. */
  prune(nowMs: number): void {
    this.#sql.exec(
      'DELETE FROM usage WHERE day < ?',
      new Date(nowMs - USAGE_DAYS_MAX * DAY_MS).toISOString().slice(0, 10),
    )
    this.#sql.exec('DELETE FROM settled WHERE at_ms <= ?', nowMs - SETTLED_MS_MAX)
  }

  #close(batch: number, closed: number): void {
    const left = (this.#openByBatch.get(batch) ?? 0) - closed
    if (left > 0) {
      this.#openByBatch.set(batch, left)
      return
    }
    this.#openByBatch.delete(batch)
    this.#sql.exec('DELETE FROM opened WHERE batch = ?', batch)
  }

  #writeSettled(entries: readonly SettledEntry[], nowMs: number): void {
    const body = JSON.stringify(entries)
    const sql = this.#sql
    sql.exec('INSERT INTO settled (at_ms, entries, body) VALUES (?, ?, ?)', nowMs, entries.length, body)
    this.#settledEntries += entries.length
    while (this.#settledEntries > SETTLED_MAX) {
      const [oldest] = sql.exec<{ id: number; entries: number }>(
        'SELECT id, entries FROM settled ORDER BY id LIMIT 1',
      )
      // A row goes when all that it holds is beyond the bound.
      if (!oldest || this.#settledEntries - oldest.entries < SETTLED_MAX) return
      this.#settledEntries -= oldest.entries
      sql.exec('DELETE FROM settled WHERE id = ?', oldest.id)
    }
  }

  #addUsage(row: UsageRow): void {
    this.#sql.exec(
      `INSERT INTO usage (day, model, requests, uncached, cached, output, nano_usd, lost) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (day, model) DO UPDATE SET requests = requests + excluded.requests,
        uncached = uncached + excluded.uncached, cached = cached + excluded.cached, output = output + excluded.output,
        nano_usd = nano_usd + excluded.nano_usd, lost = lost + excluded.lost`,
      row.day,
      row.model,
      row.requests,
      row.uncachedTokens,
      row.cachedTokens,
      row.outputTokens,
      row.nanoUsd,
      row.lostRequests,
    )
  }

  #bodies<T>(query: string): T[] {
    return [...this.#sql.exec<{ body: string }>(query)].map(({ body }) => JSON.parse(body) as T)
  }
}
