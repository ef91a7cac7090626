/** The numbered heartbeats of one epoch, and the round trip that those show which the directory answers. */
import { HEARD_EVERY_BEATS } from '../../protocol/report.ts'

/** Weight of a new round trip in the estimate. */
const RTT_WEIGHT = 0.2

export class Beats {
  #beat = 0
  #askedMs = 0
  #askedBeat = 0
  #rttMs: number | null = null

  /** null until one was answered. */
  get rttMs(): number | null {
    return this.#rttMs
  }

  /** Another epoch; the way is still the same. */
  restart(): void {
    this.#beat = 0
    this.#askedBeat = 0
  }

  next(nowMs: number): number {
    this.#beat++
    if (this.#beat % HEARD_EVERY_BEATS === 0) {
      this.#askedBeat = this.#beat
      this.#askedMs = nowMs
    }
    return this.#beat
  }

  heard(beat: number, nowMs: number): void {
    if (beat !== this.#askedBeat) return
    const sampleMs = Math.max(nowMs - this.#askedMs, 0)
    this.#rttMs = this.#rttMs === null ? sampleMs : this.#rttMs + RTT_WEIGHT * (sampleMs - this.#rttMs)
  }
}
