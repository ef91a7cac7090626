/** When the oldest engine event happened that no report has carried yet. */
import { EventLag } from '../events/event-lag.ts'

export class EventAge {
  /** By endpoint number: at most as many as there may be at one time. */
  readonly #lags = new Map<number, EventLag>()
  #oldestMs: number | null = null

  /** A batch of the endpoint is applied at `nowMs`; its engine made it at `madeMs` of its own clock (null: it does not say). */
  note(endpoint: number, madeMs: number | null, wallMs: number, nowMs: number): void {
    const lag = this.#lags.get(endpoint) ?? new EventLag()
    this.#lags.set(endpoint, lag)
    const atMs = nowMs - (madeMs === null ? 0 : lag.note(madeMs, wallMs))
    this.#oldestMs = Math.min(this.#oldestMs ?? atMs, atMs)
  }

  /** Another process has the number, and with it perhaps another clock. */
  forget(endpoint: number): void {
    this.#lags.delete(endpoint)
  }

  /** null when nothing has happened since the last call. */
  takeOldestMs(): number | null {
    const oldestMs = this.#oldestMs
    this.#oldestMs = null
    return oldestMs
  }
}
