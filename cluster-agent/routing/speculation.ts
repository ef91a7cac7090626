/**
 * Prefixes that were just routed and are not confirmed by events yet. They count as resident where they went, so that a
 * burst of one new prefix goes together, and expire soon. A prefix that was spread is expected at each of its places.
 */

export const SPECULATION_MS = 2000
const MARKERS_MAX = 16_384
/** Length at which the order is rid of those that are gone. */
const ORDER_MAX = 2 * MARKERS_MAX
/** Endpoints at which one prefix is expected: the latest. */
const PLACES_MAX = 4

interface Guess {
  readonly endpoint: number
  endMs: number
}

/** One prefix: where it is expected, the latest first. */
interface Guesses {
  readonly key: number
  /** The half of the key that the map does not hold. */
  readonly hi: number
  readonly offsetBytes: number
  readonly places: Guess[]
  /** By which end it stands in the order of all; a later one moves it there when its turn comes. */
  placedEndMs: number
}

export class Speculation {
  /** By half of the prefix's key: small whole numbers are found twice as fast. Of two with one half the later is kept. */
  readonly #guesses = new Map<number, Guesses>()
  /**
   * All in the order in which they end at the earliest, from `#head` on, and some that are gone. A map knows its first only by
   * walking over what was deleted before it.
   */
  #order: Guesses[] = []
  #head = 0

  get size(): number {
    return this.#guesses.size
  }

  /** `markers` as in core/prefix-markers.ts. */
  note(endpoint: number, markers: Uint32Array, nowMs: number): void {
    const endMs = nowMs + SPECULATION_MS
    for (let at = 0; at + 2 < markers.length; at += 3) {
      const known = this.#find(markers, at)
      if (known) place(known.places, endpoint, endMs)
      else
        this.#enter({
          key: keyAt(markers, at),
          hi: markers[at + 2] ?? 0,
          offsetBytes: markers[at] ?? 0,
          places: [{ endpoint, endMs }],
          placedEndMs: endMs,
        })
    }
    this.#expire(nowMs)
  }

  /** The request did not get to compute there. */
  forget(endpoint: number, markers: Uint32Array): void {
    for (let at = 0; at + 2 < markers.length; at += 3) {
      const guesses = this.#find(markers, at)
      if (!guesses) continue
      const index = guesses.places.findIndex((guess) => guess.endpoint === endpoint)
      if (index >= 0) guesses.places.splice(index, 1)
      if (guesses.places.length === 0) this.#guesses.delete(keyAt(markers, at))
    }
  }

  /** Bytes of the prompt that were just sent to each endpoint; missing ones got none. */
  match(markers: Uint32Array, nowMs: number): ReadonlyMap<number, number> {
    const found = new Map<number, number>()
    if (this.#guesses.size === 0) return found
    for (let at = markers.length - 3; at >= 0; at -= 3) {
      const guesses = this.#find(markers, at)
      if (!guesses) continue
      for (const { endpoint, endMs } of guesses.places)
        if (endMs > nowMs && !found.has(endpoint)) found.set(endpoint, guesses.offsetBytes)
    }
    return found
  }

  #find(markers: Uint32Array, at: number): Guesses | null {
    const guesses = this.#guesses.get(keyAt(markers, at))
    return guesses && guesses.hi === markers[at + 2] ? guesses : null
  }

  #enter(guesses: Guesses): void {
    this.#guesses.set(guesses.key, guesses)
    this.#order.push(guesses)
  }

  /** Those at the head whose time has come, and those beyond the bound. */
  #expire(nowMs: number): void {
    for (; this.#head < this.#order.length; this.#head++) {
      const guesses = this.#order[this.#head] as Guesses
      if (!this.#isHeld(guesses)) continue
      if (guesses.placedEndMs > nowMs && this.#guesses.size <= MARKERS_MAX) break
      this.#guesses.delete(guesses.key)
      const endMs = guesses.places[0]?.endMs ?? 0
      if (endMs <= guesses.placedEndMs) continue
      guesses.placedEndMs = endMs
      this.#enter(guesses)
    }
    if (this.#order.length <= ORDER_MAX) return
    this.#order = this.#order.slice(this.#head).filter((guesses) => this.#isHeld(guesses))
    this.#head = 0
  }

  #isHeld(guesses: Guesses): boolean {
    return this.#guesses.get(guesses.key) === guesses
  }
}

/** Of the marker that starts at word `at`. */
function keyAt(markers: Uint32Array, at: number): number {
  return (markers[at + 1] ?? 0) | 0
}

/** Puts the endpoint first. */
function place(places: Guess[], endpoint: number, endMs: number): void {
  const [latest] = places
  if (latest?.endpoint === endpoint) {
    latest.endMs = endMs
    return
  }
  const index = places.findIndex((guess) => guess.endpoint === endpoint)
  if (index >= 0) places.splice(index, 1)
  places.unshift({ endpoint, endMs })
  if (places.length > PLACES_MAX) places.pop()
}
