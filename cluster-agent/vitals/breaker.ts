/**
 * Whether an endpoint that failed requests gets more: out at once, back on probation after a while, whole again after the
 * first request that ends well. Each failure on probation doubles the while.
 */
export type BreakerState = 'closed' | 'open' | 'half-open'

export const COOL_DOWN_MS = 2000
export const COOL_DOWN_MS_MAX = 30_000
/** So long on probation without a failure is as good as a request that ended well: there may be few requests. */
export const PROBATION_MS = 10_000
/** A failure after so long is the first again. */
export const STREAK_MS = 60_000

export class Breaker {
  #state: BreakerState = 'closed'
  #sinceMs = Number.NEGATIVE_INFINITY
  #coolDownMs = COOL_DOWN_MS
  #lastFailureMs = Number.NEGATIVE_INFINITY

  get state(): BreakerState {
    return this.#state
  }

  noteFailure(nowMs: number): void {
    // Requests that were under way together fail together: that is one failure.
    if (this.#state !== 'open') {
      const isAgain = nowMs - this.#lastFailureMs < STREAK_MS
      this.#coolDownMs = isAgain ? Math.min(this.#coolDownMs * 2, COOL_DOWN_MS_MAX) : COOL_DOWN_MS
      this.#sinceMs = nowMs
    }
    this.#lastFailureMs = nowMs
    this.#state = 'open'
  }

  /** A request ended well: what was begun before the failure says nothing. */
  noteSuccess(): void {
    if (this.#state === 'half-open') this.#state = 'closed'
  }

  /** The engine's health route answers well. */
  noteWell(nowMs: number): void {
    const waitedMs = nowMs - this.#sinceMs
    if (this.#state === 'open' && waitedMs >= this.#coolDownMs) {
      this.#state = 'half-open'
      this.#sinceMs = nowMs
    } else if (this.#state === 'half-open' && waitedMs >= PROBATION_MS) this.#state = 'closed'
  }
}
