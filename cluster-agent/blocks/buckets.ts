/**
 * The bucket heads of a hash table that grows by linear hashing: one bucket is split at a time, so that no insertion waits
 * for the table to be built anew. Items and the links between them belong to the owner.
 */

/** At most so many items a bucket: more would save memory and cost probes, each of which waits for memory. */
const ITEMS_PER_BUCKET = 1
const BUCKETS_MIN = 64

export class Buckets {
  /** The first item of each bucket plus one; 0 is none. */
  heads = new Int32Array(BUCKETS_MIN)
  #live = BUCKETS_MIN
  #mask = BUCKETS_MIN - 1

  get bytes(): number {
    return this.#live * Int32Array.BYTES_PER_ELEMENT
  }

  of(hash: number): number {
    const mask = this.#mask
    const at = hash & mask
    // Without a branch: nothing foretells whether the bucket was split off already. All bits are set when it was not.
    const isAhead = (this.#live - 1 - at) >> 31
    return at & (mask >>> (isAhead & 1))
  }

  /** The first item of the bucket that is split `ahead` splits from now. */
  upcoming(ahead: number): number {
    return this.heads[(this.#live + ahead) & (this.#mask >>> 1)] as number
  }

  /** The bucket whose items must be put into their buckets anew since the table holds `items`, or -1. */
  dueSplit(items: number): number {
    if (items <= this.#live * ITEMS_PER_BUCKET) return -1
    const added = this.#live++
    if (added > this.#mask) this.#mask = this.#mask * 2 + 1
    if (added >= this.heads.length) {
      const heads = new Int32Array(this.heads.length * 2)
      heads.set(this.heads)
      this.heads = heads
    }
    return added & (this.#mask >>> 1)
  }
}
