/**
 * Which prompts have just been sent where: PrefixKey and cluster -> by which isolate and until when. Every request enters some
 * forty and asks for as many, so they lie in flat arrays, in sets of SLOTS; of a full set the entry that ends first makes
 * room. A map by key would be walked over its deleted entries to find its oldest.
 */

/** Entries in all. */
export const SPECULATIONS_MAX = 32_768
/** A line of the cache of keys. A prefix that many share is on its way to as many clusters. */
const SLOTS = 8
const SETS = SPECULATIONS_MAX / SLOTS
/** Clusters told apart at a time; beyond it everything is forgotten, which is two seconds' worth. */
const CLUSTERS_TOLD_APART_MAX = 255

export class Speculations {
  #clusters: string[] = []
  // Made with the first entry: most directories and isolates of a simulation never have one.
  #keys = new Uint32Array(0)
  #clusterOf = new Uint8Array(0)
  #isolates = new Uint32Array(0)
  #untilMs = new Float64Array(0)
  /** When the last of all ends. */
  #lastMs = -Infinity

  /** `isolate` has sent a prompt with these markers to `cluster`. Who comes later stands for all before. */
  enter(markers: Uint32Array, cluster: string, isolate: number, untilMs: number): void {
    const number = this.#numberOf(cluster)
    if (untilMs > this.#lastMs) this.#lastMs = untilMs
    for (let at = 0; at + 2 < markers.length; at += 3) {
      const lo = markers[at + 1] as number
      const hi = markers[at + 2] as number
      const slot = this.#slotFor(lo, hi, number)
      this.#keys[2 * slot] = lo
      this.#keys[2 * slot + 1] = hi
      this.#clusterOf[slot] = number
      this.#isolates[slot] = isolate
      this.#untilMs[slot] = untilMs
    }
  }

  /** They are not there after all. */
  remove(markers: Uint32Array, cluster: string): void {
    const number = this.#clusters.indexOf(cluster)
    if (number === -1) return
    for (let at = 0; at + 2 < markers.length; at += 3) {
      const lo = markers[at + 1] as number
      const hi = markers[at + 2] as number
      const slot = this.#slotFor(lo, hi, number)
      if (this.#holds(slot, lo, hi, number)) this.#untilMs[slot] = 0
    }
  }

  /**
   * By cluster: offset in bytes of the deepest of `markers` that others than `asking` have sent there; null: by anybody. null:
   * none anywhere.
   */
  deepest(markers: Uint32Array, asking: number | null, nowMs: number): ReadonlyMap<string, number> | null {
    if (nowMs >= this.#lastMs) return null
    const keys = this.#keys
    let found: Map<string, number> | null = null
    for (let at = markers.length - 3; at >= 0; at -= 3) {
      const lo = markers[at + 1] as number
      const hi = markers[at + 2] as number
      const first = firstSlot(lo, hi)
      for (let slot = first; slot < first + SLOTS; slot++) {
        if (keys[2 * slot] !== lo || keys[2 * slot + 1] !== hi) continue
        if (this.#isolates[slot] === asking || (this.#untilMs[slot] as number) <= nowMs) continue
        const cluster = this.#clusters[this.#clusterOf[slot] as number] as string
        found ??= new Map()
        if (!found.has(cluster)) found.set(cluster, markers[at] as number)
      }
    }
    return found
  }

  #numberOf(cluster: string): number {
    const known = this.#clusters.indexOf(cluster)
    if (known !== -1) return known
    if (this.#clusters.length === 0) {
      this.#keys = new Uint32Array(2 * SPECULATIONS_MAX)
      this.#clusterOf = new Uint8Array(SPECULATIONS_MAX)
      this.#isolates = new Uint32Array(SPECULATIONS_MAX)
      this.#untilMs = new Float64Array(SPECULATIONS_MAX)
    } else if (this.#clusters.length === CLUSTERS_TOLD_APART_MAX) {
      this.#clusters = []
      this.#untilMs.fill(0)
    }
    return this.#clusters.push(cluster) - 1
  }

  /** The slot of the entry, or else the one of its set that ends first. */
  #slotFor(lo: number, hi: number, number: number): number {
    const first = firstSlot(lo, hi)
    let soonest = first
    for (let slot = first; slot < first + SLOTS; slot++) {
      if (this.#holds(slot, lo, hi, number)) return slot
      if ((this.#untilMs[slot] as number) < (this.#untilMs[soonest] as number)) soonest = slot
    }
    return soonest
  }

  #holds(slot: number, lo: number, hi: number, number: number): boolean {
    return this.#keys[2 * slot] === lo && this.#keys[2 * slot + 1] === hi && this.#clusterOf[slot] === number
  }
}

/** PrefixKeys are uniform already; those of tests need not be. */
function firstSlot(lo: number, hi: number): number {
  const mixed = Math.imul(lo ^ Math.imul(hi, 0x9e3779b1), 0x85ebca6b)
  return ((mixed ^ (mixed >>> 15)) & (SETS - 1)) * SLOTS
}
