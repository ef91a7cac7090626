/** Receipts that wait to be sent in a batch, by region, and the isolate's counters as last sent. Bounded. */
import { NOTES_MAX, type EdgeNote, type NoteBatch } from '../../protocol/receipt-record.ts'

const WAITING_MAX = 2048

/** As text, in which a note is small and one object. */
interface Waiting {
  readonly region: string
  readonly text: string
}

export class Notes {
  readonly #waiting: Waiting[] = []
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
    this.#waiting.push({ region: note.edgeRegion, text: JSON.stringify(note) })
    if (this.#waiting.length <= WAITING_MAX) return true
    this.#waiting.shift()
    return false
  }

  /** All that waits, in batches of one region each. */
  take(): { region: string; notes: NoteBatch['notes'] }[] {
    const byRegion = new Map<string, string[]>()
    for (const { region, text } of this.#waiting.splice(0)) {
      const texts = byRegion.get(region) ?? []
      byRegion.set(region, texts)
      texts.push(text)
    }
    return [...byRegion].flatMap(([region, texts]) =>
      inParts(texts).map((part) => ({ region, notes: `[${part.join(',')}]` })),
    )
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

function inParts(texts: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(texts.length / NOTES_MAX) }, (_, part) =>
    texts.slice(part * NOTES_MAX, (part + 1) * NOTES_MAX),
  )
}
