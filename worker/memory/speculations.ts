/**
 * Which prompts have just been sent where: PrefixKey and cluster -> until when. Each request enters some forty of them and asks
 * for as many, so they lie in flat arrays, in sets of SLOTS; of a full set the entry that ends first makes room.
 */

/** Entries in all. */
export const SPECULATIONS_MAX = 32_768
const SLOTS = 4
const SETS = SPECULATIONS_MAX / SLOTS
/** Clusters that can be told apart; of more, none is remembered. */
const CLUSTERS_MAX = 255
const NOWHERE: ReadonlyMap<string, number> = new Map()

export class Speculations {
  readonly #clusters: string[] = []
  // Made with the first entry: most isolates of a simulation never have one.
  #keys = new Uint32Array(0)
  #clusterOf = new Uint8Array(0)
  #untilMs = new Float64Array(0)

  enter(markers: Uint32Array, cluster: string, untilMs: number): void {
    const number = this.#numberOf(cluster)
    if (number === null) return
    for (let at = 0; at + 2 < markers.length; at += 3) {
      const slot = this.#slotFor(markers[at + 1] ?? 0, markers[at + 2] ?? 0, number)
      this.#keys[2 * slot] = markers[at + 1] ?? 0
      this.#keys[2 * slot + 1] = markers[at + 2] ?? 0
      this.#clusterOf[slot] = number
      this.#untilMs[slot] = untilMs
    }
  }

  /** They are not there after all. */
  remove(markers: Uint32Array, cluster: string): void {
    const number = this.#clusters.indexOf(cluster)
    if (number === -1) return
    for (let at = 0; at + 2 < markers.length; at += 3) {
      const lo = markers[at + 1] ?? 0
      const hi = markers[at + 2] ?? 0
      const slot = this.#slotFor(lo, hi, number)
      if (this.#holds(slot, lo, hi) && this.#clusterOf[slot] === number) this.#untilMs[slot] = 0
    }
  }

  /** By cluster: offset in bytes of the deepest of `markers` that stands there. */
  deepest(markers: Uint32Array, nowMs: number): ReadonlyMap<string, number> {
    if (this.#clusters.length === 0) return NOWHERE
    let found: Map<string, number> | null = null
    for (let at = markers.length - 3; at >= 0; at -= 3) {
      const lo = markers[at + 1] ?? 0
      const hi = markers[at + 2] ?? 0
      const first = firstSlot(lo, hi)
      for (let slot = first; slot < first + SLOTS; slot++) {
        if (!this.#holds(slot, lo, hi) || (this.#untilMs[slot] ?? 0) <= nowMs) continue
        const cluster = this.#clusters[this.#clusterOf[slot] ?? 0] ?? ''
        found ??= new Map()
        if (!found.has(cluster)) found.set(cluster, markers[at] ?? 0)
      }
    }
    return found ?? NOWHERE
  }

  #numberOf(cluster: string): number | null {
    const known = this.#clusters.indexOf(cluster)
    if (known !== -1) return known
    if (this.#clusters.length >= CLUSTERS_MAX) return null
    if (this.#clusters.length === 0) {
      this.#keys = new Uint32Array(2 * SPECULATIONS_MAX)
      this.#clusterOf = new Uint8Array(SPECULATIONS_MAX)
      this.#untilMs = new Float64Array(SPECULATIONS_MAX)
    }
    return this.#clusters.push(cluster) - 1
  }

  /** The slot of the entry, or else the one of its set that ends first. */
  #slotFor(lo: number, hi: number, number: number): number {
    const first = firstSlot(lo, hi)
    let soonest = first
    for (let slot = first; slot < first + SLOTS; slot++) {
      if (this.#clusterOf[slot] === number && this.#holds(slot, lo, hi)) return slot
      if ((this.#untilMs[slot] ?? 0) < (this.#untilMs[soonest] ?? 0)) soonest = slot
    }
    return soonest
  }

  #holds(slot: number, lo: number, hi: number): boolean {
    return this.#keys[2 * slot] === lo && this.#keys[2 * slot + 1] === hi
  }
}

/** PrefixKeys are uniform already; those of tests need not be. */
function firstSlot(lo: number, hi: number): number {
  const mixed = Math.imul(lo ^ Math.imul(hi, 0x9e3779b1), 0x85ebca6b)
  return ((mixed ^ (mixed >>> 15)) & (SETS - 1)) * SLOTS
}
