/** What the directory remembers of one cluster: its column, its stream's state and cursor, its load. */
import type { Hello } from '../../protocol/report.ts'
import { ClusterLoads } from './loads.ts'
import type { ReportCursor } from './report-cursor.ts'
import type { StreamState } from './stream-state.ts'

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
  /** When the last message came. */
  heardMs: number
  resyncs = 0
  #asked: { readonly connection: string; readonly atMs: number } | null = null

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

  /** Frames that are under way when a resync is asked for must not each ask again: the agent would begin in circles. */
  mayAskResync(connection: string, nowMs: number, repeatMs: number): boolean {
    if (this.#asked?.connection === connection && nowMs - this.#asked.atMs < repeatMs) return false
    this.#asked = { connection, atMs: nowMs }
    this.resyncs++
    return true
  }
}
