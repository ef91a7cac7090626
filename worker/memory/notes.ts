/** Receipts that wait to be sent in a batch, by region, and the isolate's counters as last sent. Bounded. */
import type { EdgeNote } from '../../protocol/receipt-record.ts'
import { NOTES_MAX } from '../../protocol/receipt-record.ts'

const WAITING_MAX = 2048

export class Notes {
  readonly #waiting: EdgeNote[] = []
  #sent: Readonly<Record<string, number>> = {}
  #flushMs: number
  #flushingUntilMs = 0

  constructor(flushMs: number) {
    this.#flushMs = flushMs
  }

  get flushMs(): number {
    return this.#flushMs
  }

  /** The pace that a region asks for. */
  set flushMs(flushMs: number) {
    this.#flushMs = flushMs
  }

  /** false when the oldest had to go. */
  add(note: EdgeNote): boolean {
    this.#waiting.push(note)
    if (this.#waiting.length <= WAITING_MAX) return true
    this.#waiting.shift()
    return false
  }

  /** The next batch of each region. */
  take(): { region: string; notes: EdgeNote[] }[] {
    const batch = this.#waiting.splice(0, NOTES_MAX)
    const regions = new Set(batch.map(({ edgeRegion }) => edgeRegion))
    return [...regions].map((region) => ({
      region,
      notes: batch.filter(({ edgeRegion }) => edgeRegion === region),
    }))
  }

  /** What the counters have grown by since the last call. */
  growth(counters: Readonly<Record<string, number>>): Record<string, number> {
    const grown = Object.entries(counters).map(
      ([name, count]) => [name, count - (this.#sent[name] ?? 0)] as const,
    )
    this.#sent = counters
    return Object.fromEntries(grown.filter(([, count]) => count > 0))
  }

  /** Whether the caller is to send: one request at a time does, and one that vanished is replaced. */
  beginFlush(nowMs: number, flushMsMax: number): boolean {
    if (nowMs < this.#flushingUntilMs) return false
    this.#flushingUntilMs = nowMs + flushMsMax
    return true
  }

  endFlush(): void {
    this.#flushingUntilMs = 0
  }
}
