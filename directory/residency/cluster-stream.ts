/** What the directory remembers of one cluster: its column, its stream's state and cursor, its load. */
import type { Hello } from '../../protocol/report.ts'
import { ClusterLoads } from './loads.ts'
import type { ReportCursor } from './report-cursor.ts'
import type { StreamState } from './stream-state.ts'

/** Changes by deltas that a stream may make at once, and per second in the long run: beyond it lookups would wait. */
export const DELTA_CHANGES_BURST = 2_000_000
export const DELTA_CHANGES_PER_S = 200_000

export class ClusterStream implements ReportCursor {
  readonly cluster: string
  /** Its nibble in the residency map. */
  readonly column: number
  readonly loads = new ClusterLoads()
  state: StreamState = 'absent'
  /** The socket that carries the stream; null when it is closed. */
  connection: string | null = null
  epoch = 0
  seq = 0
  incarnation = 0
  /** When the last message came that was the next of its stream. */
  heardMs: number
  resyncs = 0
  #asked: { readonly connection: string; readonly atMs: number } | null = null
  #room = DELTA_CHANGES_BURST
  #roomMs = 0

  constructor(cluster: string, column: number, nowMs: number) {
    this.cluster = cluster
    this.column = column
    this.heardMs = nowMs
  }

  begin(hello: Hello): void {
    this.epoch = hello.epoch
    this.seq = 0
    this.incarnation = hello.incarnation
    this.#asked = null
    this.loads.takeHello(hello)
  }

  ageMs(nowMs: number): number {
    return Math.max(0, nowMs - this.heardMs)
  }

  /** Frames that are under way when a resync is asked for must not each ask again: the agent would begin in circles. */
  mayAskResync(connection: string, nowMs: number, repeatMs: number): boolean {
    if (this.#asked?.connection === connection && nowMs - this.#asked.atMs < repeatMs) return false
    this.#asked = { connection, atMs: nowMs }
    this.resyncs++
    return true
  }

  /** Whether there is room for so many changes more. */
  admitChanges(count: number, nowMs: number): boolean {
    const elapsedMs = Math.max(0, nowMs - this.#roomMs)
    this.#roomMs = nowMs
    this.#room = Math.min(DELTA_CHANGES_BURST, this.#room + (elapsedMs * DELTA_CHANGES_PER_S) / 1000)
    if (count > this.#room) return false
    this.#room -= count
    return true
  }
}
