/**
 * Which prompts are asked for most, by the PrefixKey of their first marker: a space-saving sketch. A count is at most too
 * high by that of the least frequent root it remembers.
 */
export const ROOTS_KEPT = 64
const ROOTS_TOLD = 10
const SAMPLED_EVERY = 7

export class HotRoots {
  readonly #counts = new Map<string, number>()
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
    if (this.#rooted % SAMPLED_EVERY !== 0) return
    const root = hex(markers[2] ?? 0) + hex(markers[1] ?? 0)
    const count = this.#counts.get(root)
    if (count !== undefined) this.#counts.set(root, count + SAMPLED_EVERY)
    else if (this.#counts.size < ROOTS_KEPT) this.#counts.set(root, SAMPLED_EVERY)
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
    this.#counts.set(root, leastCount + SAMPLED_EVERY)
  }
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0')
}
