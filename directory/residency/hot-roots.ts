/**
 * Which prompts are asked for most, by the PrefixKey of their first marker: a space-saving sketch. A count is at most too
 * high by that of the least frequent root it remembers.
 */
export const ROOTS_KEPT = 64
const ROOTS_TOLD = 10

export class HotRoots {
  readonly #counts = new Map<string, number>()
  #lookups = 0

  get lookups(): number {
    return this.#lookups
  }

  /** One lookup in eight is looked at, so that the hot path hardly sees it. */
  note(markers: Uint32Array): void {
    this.#lookups++
    if ((this.#lookups & 7) !== 0 || markers.length < 3) return
    const root = hex(markers[2] ?? 0) + hex(markers[1] ?? 0)
    const count = this.#counts.get(root)
    if (count !== undefined) this.#counts.set(root, count + 8)
    else if (this.#counts.size < ROOTS_KEPT) this.#counts.set(root, 8)
    else this.#replaceLeast(root)
  }

  hottest(): { key: string; lookups: number }[] {
    return Array.from(this.#counts, ([key, lookups]) => ({ key, lookups }))
      .sort((a, b) => b.lookups - a.lookups)
      .slice(0, ROOTS_TOLD)
  }

  #replaceLeast(root: string): void {
    let least = ''
    let leastCount = Infinity
    for (const [key, count] of this.#counts) {
      if (count >= leastCount) continue
      least = key
      leastCount = count
    }
    this.#counts.delete(least)
    this.#counts.set(root, leastCount + 8)
  }
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0')
}
