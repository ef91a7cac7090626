/** How long isolates collect before they send: the more of them send, the longer. */

export const FLUSH_MS = 1000
export const FLUSH_MS_MAX = 15_000
/** An object of a region takes this many batches a second with ease. */
const BATCHES_PER_SECOND = 250
const WINDOW_MS = 1000

export class FlushPace {
  #flushMs = FLUSH_MS
  #windowMs = 0
  #batches = 0

  /** A batch has come; gives the pace to keep. */
  hear(nowMs: number): number {
    this.#batches++
    const elapsedMs = nowMs - this.#windowMs
    if (elapsedMs < WINDOW_MS) return this.#flushMs
    const perSecond = (this.#batches * 1000) / elapsedMs
    const wantedMs = this.#flushMs * (perSecond / BATCHES_PER_SECOND)
    this.#flushMs = Math.min(FLUSH_MS_MAX, Math.max(FLUSH_MS, wantedMs))
    this.#windowMs = nowMs
    this.#batches = 0
    return this.#flushMs
  }
}
