/** What one choice has booked: released exactly once, however it ends. */
import { randomBytes } from 'node:crypto'
import type { Cluster } from './cluster.ts'
import type { GenerateRequest } from './generate-request.ts'
import type { RequestSize } from './routing/candidate.ts'
import type { Pair } from './routing/select.ts'

/** Of this process: two agents, or two lives of one, never say the same id. */
const LIFE = randomBytes(6).toString('base64url')
let attempts = 0

export class Attempt {
  readonly pair: Pair
  /** Of both legs and of the transfer between them. Callers may give two requests one id, and another try needs another. */
  readonly id: string
  readonly #cluster: Cluster
  #isPrefilling = true

  constructor(cluster: Cluster, pair: Pair, size: RequestSize, request: GenerateRequest, nowMs: number) {
    this.pair = pair
    this.id = `${request.requestId}-${LIFE}${(attempts++).toString(36)}`
    this.#cluster = cluster
    cluster.book(pair, size, this.id, request.prompt, request.stream, nowMs)
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
