/**
 * Which prompts are asked for most, by the PrefixKey of their first marker: a space-saving sketch. A count is at most too
 * high by that of the least frequent root it remembers.
 */
export const ROOTS_KEPT = 64
const ROOTS_TOLD = 10
const SAMPLED_EVERY = 7

export class HotRoots {
  readonly #lo = new Uint32Array(ROOTS_KEPT)
  readonly #hi = new Uint32Array(ROOTS_KEPT)
  readonly #counts = new Float64Array(ROOTS_KEPT)
  #kept = 0
  #lookups = 0
  #rooted = 0

  get lookups(): number {
    return this.#lookups
  }

  /** One prompt in seven is looked at, so that the hot path hardly sees it. */
  note(markers: Uint32Array): void {
    this.#lookups++
    if (markers.length < 3) return
    this.#rooted++
    if (this.#rooted % SAMPLED_EVERY === 0) this.#count(markers[1] as number, markers[2] as number)
  }

  hottest(): { key: string; lookups: number }[] {
    return Array.from(this.#counts.subarray(0, this.#kept), (lookups, at) => ({
      key: hex(this.#hi[at] as number) + hex(this.#lo[at] as number),
      lookups,
    }))
      .sort((a, b) => b.lookups - a.lookups)
      .slice(0, ROOTS_TOLD)
  }

  #count(lo: number, hi: number): void {
    const at = this.#placeOf(lo, hi)
    this.#lo[at] = lo
    this.#hi[at] = hi
    this.#counts[at] = (this.#counts[at] as number) + SAMPLED_EVERY
  }

  /** The root's, or a new one, or that of the least: who comes after it goes on from its count. */
  #placeOf(lo: number, hi: number): number {
    let least = 0
    for (let at = 0; at < this.#kept; at++) {
      if (this.#lo[at] === lo && this.#hi[at] === hi) return at
      if ((this.#counts[at] as number) < (this.#counts[least] as number)) least = at
    }
    return this.#kept < ROOTS_KEPT ? this.#kept++ : least
  }
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0')
}
