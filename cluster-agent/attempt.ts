/** What one choice has booked: released exactly once, however it ends. */
import { randomBytes } from 'node:crypto'
import type { Usage } from './answer/usage.ts'
import type { ServedRequest } from './calibration/served-request.ts'
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
  readonly #startMs: number
  /** When the prefill leg, or the prefill, ended, and when the first bytes of the answer came; null: not yet. */
  #prefillEndMs: number | null = null
  #firstByteMs: number | null = null

  constructor(cluster: Cluster, pair: Pair, size: RequestSize, request: GenerateRequest, nowMs: number) {
    this.pair = pair
    this.id = `${request.requestId}-${LIFE}${(attempts++).toString(36)}`
    this.#cluster = cluster
    this.#startMs = nowMs
    cluster.book(pair, size, this.id, request.prompt, request.stream, nowMs)
  }

  /** A token came: the sequence is alive. */
  renew(): void {
    const nowMs = performance.now()
    this.#firstByteMs ??= nowMs
    this.#cluster.bookings.renewDecode(this.pair.decode.endpoint.number, this.id, nowMs)
  }

  releasePrefill(): void {
    if (!this.#isPrefilling) return
    this.#isPrefilling = false
    const nowMs = performance.now()
    this.#prefillEndMs = nowMs
    this.#cluster.bookings.releasePrefill(this.pair.prefill.endpoint.number, this.id, nowMs)
  }

  /** What came true of it. An answer that comes whole says nothing of its first token. */
  served(size: RequestSize, isStream: boolean, usage: Usage | null): ServedRequest {
    return {
      pair: this.pair,
      size,
      startMs: this.#startMs,
      prefillEndMs: this.#prefillEndMs,
      firstTokenMs: isStream ? this.#firstByteMs : null,
      promptTokens: usage?.promptTokens ?? null,
      cachedTokens: usage?.cachedTokens ?? null,
      answerTokens: usage?.outputTokens ?? null,
    }
  }

  release(): void {
    this.releasePrefill()
    this.#cluster.bookings.releaseDecode(this.pair.decode.endpoint.number, this.id)
  }
}
