/**
 * Prefixes that were just routed and are not confirmed by events yet. They count as resident where they went, so that a
 * burst of one new prefix goes together, and expire soon.
 */
import { markerKeyNumber } from '../../core/key-number.ts'

export const SPECULATION_MS = 2000
const MARKERS_MAX = 16_384

interface Guess {
  readonly endpoint: number
  readonly offsetBytes: number
  readonly endMs: number
}

export class Speculation {
  readonly #guesses = new Map<number, Guess>()

  /** `markers` as in core/prefix-markers.ts. */
  note(endpoint: number, markers: Uint32Array, nowMs: number): void {
    const endMs = nowMs + SPECULATION_MS
    for (let at = 0; at + 2 < markers.length; at += 3) {
      const key = markerKeyNumber(markers, at)
      this.#guesses.delete(key)
      this.#guesses.set(key, { endpoint, offsetBytes: markers[at] ?? 0, endMs })
    }
    for (const [key, { endMs: end }] of this.#guesses) {
      if (end > nowMs && this.#guesses.size <= MARKERS_MAX) break
      this.#guesses.delete(key)
    }
  }

  /** Bytes of the prompt that were just sent to each endpoint; missing ones got none. */
  match(markers: Uint32Array, nowMs: number): ReadonlyMap<number, number> {
    const found = new Map<number, number>()
    for (let at = markers.length - 3; at >= 0; at -= 3) {
      const guess = this.#guesses.get(markerKeyNumber(markers, at))
      if (!guess || guess.endMs <= nowMs) continue
      if (!found.has(guess.endpoint)) found.set(guess.endpoint, guess.offsetBytes)
    }
    return found
  }
}
