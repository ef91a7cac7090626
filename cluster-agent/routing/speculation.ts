/**
 * Prefixes that were just routed and are not confirmed by events yet. They count as resident where they went, so that a
 * burst of one new prefix goes together, and expire soon. A prefix that was spread is expected at each of its places.
 */
import { markerKeyNumber } from '../../core/key-number.ts'

export const SPECULATION_MS = 2000
const MARKERS_MAX = 16_384
/** Endpoints at which one prefix is expected: the latest. */
const PLACES_MAX = 4

interface Guess {
  readonly endpoint: number
  readonly offsetBytes: number
  readonly endMs: number
}

export class Speculation {
  readonly #guesses = new Map<number, readonly Guess[]>()

  get size(): number {
    return this.#guesses.size
  }

  /** `markers` as in core/prefix-markers.ts. */
  note(endpoint: number, markers: Uint32Array, nowMs: number): void {
    const endMs = nowMs + SPECULATION_MS
    for (let at = 0; at + 2 < markers.length; at += 3) {
      const key = markerKeyNumber(markers, at)
      const others = without(this.#guesses.get(key), endpoint)
      this.#guesses.delete(key)
      const guess = { endpoint, offsetBytes: markers[at] ?? 0, endMs }
      this.#guesses.set(key, others.length === 0 ? [guess] : [guess, ...others.slice(0, PLACES_MAX - 1)])
    }
    for (const [key, [latest]] of this.#guesses) {
      if (latest && latest.endMs > nowMs && this.#guesses.size <= MARKERS_MAX) break
      this.#guesses.delete(key)
    }
  }

  /** The request did not get to compute there. */
  forget(endpoint: number, markers: Uint32Array): void {
    for (let at = 0; at + 2 < markers.length; at += 3) {
      const key = markerKeyNumber(markers, at)
      const guesses = this.#guesses.get(key)
      if (!guesses) continue
      const others = without(guesses, endpoint)
      if (others.length === 0) this.#guesses.delete(key)
      else this.#guesses.set(key, others)
    }
  }

  /** Bytes of the prompt that were just sent to each endpoint; missing ones got none. */
  match(markers: Uint32Array, nowMs: number): ReadonlyMap<number, number> {
    const found = new Map<number, number>()
    if (this.#guesses.size === 0) return found
    for (let at = markers.length - 3; at >= 0; at -= 3) {
      const guesses = this.#guesses.get(markerKeyNumber(markers, at))
      if (!guesses) continue
      for (const { endpoint, offsetBytes, endMs } of guesses)
        if (endMs > nowMs && !found.has(endpoint)) found.set(endpoint, offsetBytes)
    }
    return found
  }
}

function without(guesses: readonly Guess[] | undefined, endpoint: number): readonly Guess[] {
  return guesses?.filter((guess) => guess.endpoint !== endpoint) ?? []
}
