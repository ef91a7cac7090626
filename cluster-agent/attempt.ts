/** What one choice has booked: released exactly once, however it ends. */
import { randomBytes } from 'node:crypto'
import type { Cluster } from './cluster.ts'
import type { Pair } from './routing/select.ts'

export class Attempt {
  readonly pair: Pair
  /** Of both legs and of the transfer between them. Callers may give two requests one id, and another try needs another. */
  readonly id: string
  readonly #cluster: Cluster
  #isPrefilling = true

  constructor(cluster: Cluster, pair: Pair, requestId: string, tokens: number, nowMs: number) {
    this.pair = pair
    const id = `${requestId}-${randomBytes(4).toString('hex')}`
    this.id = id
    this.#cluster = cluster
    const prefill = pair.prefill.endpoint.number
    const decode = pair.decode.endpoint.number
    const ms = pair.loadMs + pair.prefillMs
    // On one endpoint the sequence keeps the space that its prompt took.
    cluster.bookings.bookPrefill(prefill, id, ms, prefill === decode ? 0 : tokens, nowMs)
    cluster.bookings.bookDecode(decode, id, tokens, nowMs)
  }

  /** A token came: the sequence is alive. */
  renew(): void {
    this.#cluster.bookings.renewDecode(this.pair.decode.endpoint.number, this.id, performance.now())
  }

  releasePrefill(): void {
    if (!this.#isPrefilling) return
    this.#isPrefilling = false
    this.#cluster.bookings.releasePrefill(this.pair.prefill.endpoint.number, this.id, performance.now())
  }

  release(): void {
    this.releasePrefill()
    this.#cluster.bookings.releaseDecode(this.pair.decode.endpoint.number, this.id)
  }
}
