/**
 * How long ago an engine made the events that arrive now, by the time that each batch carries. The engine's clock is
 * another host's: while what arrives soonest looks between 0 and a second old the clocks are taken to agree and the age is
 * what it looks like; beyond that the soonest of the last minutes counts as just made, and the rest by how much later it
 * came. So clocks that disagree by minutes lengthen no age, and none is ever negative.
 */

/** A batch that came soonest may be so old by both clocks. */
export const AGREED_MS_MAX = 1000
/** How long what came soonest is remembered: a clock may be set. */
export const SOONEST_MS = 60_000
/** The oldest that a batch is said to be: what is older was replayed and says nothing of how fast news travels. */
export const LAG_MS_MAX = 60_000

export class EventLag {
  /** The least difference of both clocks in this window and in the one before. */
  #leastMs = Infinity
  #beforeMs = Infinity
  #windowMs = Number.NEGATIVE_INFINITY

  /** Milliseconds since `madeMs` of the engine's clock, for a batch that arrives at `wallMs` of ours. */
  note(madeMs: number, wallMs: number): number {
    const apparentMs = wallMs - madeMs
    if (!(wallMs - this.#windowMs < SOONEST_MS && wallMs >= this.#windowMs)) {
      this.#beforeMs = wallMs - this.#windowMs < 2 * SOONEST_MS ? this.#leastMs : Infinity
      this.#leastMs = Infinity
      this.#windowMs = wallMs
    }
    this.#leastMs = Math.min(this.#leastMs, apparentMs)
    const soonestMs = Math.min(this.#leastMs, this.#beforeMs)
    const isAgreed = soonestMs >= 0 && soonestMs <= AGREED_MS_MAX
    return Math.min(apparentMs - (isAgreed ? 0 : soonestMs), LAG_MS_MAX)
  }
}
