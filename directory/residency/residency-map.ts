/**
 * Which clusters hold which prefix on which tier: PrefixKey -> one nibble a cluster. Open addressing over one interleaved
 * array, so that a probe touches one cache line:
 *
 *     key low half | key high half | nibbles of columns 0-7 | nibbles of columns 8-15
 *
 * A slot whose nibbles are all 0 is empty: a key that no cluster holds has no entry. Linear probing, deletion by
 * backward shift, load at most 3/4: at 0.998 the same probes took seconds (reference/hot-path.md, trap 5).
 */
import { CLUSTERS_MAX } from '../../protocol/ids.ts'

const SLOT_WORDS = 4
const SLOTS_MIN = 1024
const AGE_NEW = 1
const AGE_MAX = 7
/** How many entries one eviction looks at: the least recently asked of them goes. */
const EVICTION_WINDOW = 32

export interface ResidencyMatch {
  /** By column: offset in bytes of the deepest resident marker, 0 when none is. */
  readonly offsetBytes: Uint32Array
  /** By column: the tier number there. */
  readonly tiers: Uint8Array
}

export class ResidencyMap {
  readonly #slotsMax: number
  #slots = SLOTS_MIN
  #table = new Uint32Array(SLOTS_MIN * SLOT_WORDS)
  /** Recently asked entries have a higher age byte; the clock hand lowers it in passing. */
  #ages = new Uint8Array(SLOTS_MIN)
  #size = 0
  #hand = 0
  readonly #columnSizes = new Uint32Array(CLUSTERS_MAX)
  readonly #match: ResidencyMatch = {
    offsetBytes: new Uint32Array(CLUSTERS_MAX),
    tiers: new Uint8Array(CLUSTERS_MAX),
  }

  /** Holds at most three quarters of `slotsMax` entries, which is rounded down to a power of two. */
  constructor(slotsMax: number) {
    this.#slotsMax = Math.max(SLOTS_MIN, 2 ** Math.floor(Math.log2(slotsMax)))
  }

  get size(): number {
    return this.#size
  }

  get entriesMax(): number {
    return (this.#slotsMax / 4) * 3
  }

  /** How many keys the cluster of `column` holds. */
  columnSize(column: number): number {
    return this.#columnSizes[column] ?? 0
  }

  /** From now on the key lies on `tier` in the cluster of `column`, or nowhere (0). */
  set(lo: number, hi: number, column: number, tier: number): void {
    let at = this.#probe(lo, hi)
    if (this.#isEmpty(at)) {
      if (tier === 0) return
      if ((this.#size + 1) * 4 > this.#slots * 3) {
        this.#makeRoom()
        at = this.#probe(lo, hi)
      }
      this.#table[at] = lo
      this.#table[at + 1] = hi
      this.#ages[at >>> 2] = AGE_NEW
      this.#size++
    }
    this.#setNibble(at, column, tier)
    if (this.#isEmpty(at)) this.#remove(at)
  }

  /** The tier number of the key in the cluster of `column`, 0 when it is not resident there. */
  get(lo: number, hi: number, column: number): number {
    return this.#nibble(this.#probe(lo, hi), column)
  }

  /**
   * The deepest resident marker of each column. `markers` are u32 triples (offset, low, high) by rising offset. The
   * answer is one reused object, valid until the next call. Hit entries count as asked.
   */
  match(markers: Uint32Array): ResidencyMatch {
    const { offsetBytes, tiers } = this.#match
    offsetBytes.fill(0)
    tiers.fill(0)
    let open = 0
    for (let column = 0; column < CLUSTERS_MAX; column++) if (this.columnSize(column) > 0) open |= 1 << column
    for (let marker = markers.length - 3; marker >= 0 && open !== 0; marker -= 3) {
      const at = this.#probe(word(markers, marker + 1), word(markers, marker + 2))
      if (this.#isEmpty(at)) continue
      this.#ages[at >>> 2] = AGE_MAX
      for (let rest = open; rest !== 0; rest &= rest - 1) {
        const column = 31 - Math.clz32(rest & -rest)
        const tier = this.#nibble(at, column)
        if (tier === 0) continue
        offsetBytes[column] = word(markers, marker)
        tiers[column] = tier
        open &= ~(1 << column)
      }
    }
    return this.#match
  }

  /** Forgets everything that the cluster of `column` holds. */
  clearColumn(column: number): void {
    for (let at = 0; this.columnSize(column) > 0 && at < this.#table.length; at += SLOT_WORDS) {
      // A removal shifts a later entry into this slot, so the slot is looked at again until it stays.
      while (this.#nibble(at, column) !== 0) {
        this.#setNibble(at, column, 0)
        if (this.#isEmpty(at)) this.#remove(at)
      }
    }
  }

  /** The table index of the key's slot, or of the empty slot where it would go. */
  #probe(lo: number, hi: number): number {
    const table = this.#table
    const mask = table.length - 1
    for (let at = this.#home(lo); ; at = (at + SLOT_WORDS) & mask) {
      if ((table[at] === lo && table[at + 1] === hi) || this.#isEmpty(at)) return at
    }
  }

  #home(lo: number): number {
    // Keys are keyed hashes: their low bits are uniform already.
    return (lo & (this.#slots - 1)) * SLOT_WORDS
  }

  #isEmpty(at: number): boolean {
    return (word(this.#table, at + 2) | word(this.#table, at + 3)) === 0
  }

  #nibble(at: number, column: number): number {
    return (word(this.#table, at + 2 + (column >>> 3)) >>> ((column & 7) * 4)) & 15
  }

  #setNibble(at: number, column: number, tier: number): void {
    const before = this.#nibble(at, column)
    const index = at + 2 + (column >>> 3)
    const shift = (column & 7) * 4
    this.#table[index] = (word(this.#table, index) & ~(15 << shift)) | ((tier & 15) << shift)
    const delta = Number(tier !== 0) - Number(before !== 0)
    this.#columnSizes[column] = this.columnSize(column) + delta
  }

  /** Closes the gap at `at` by shifting back entries that probe across it. The nibbles there are 0. */
  #remove(at: number): void {
    const table = this.#table
    const mask = table.length - 1
    let gap = at
    for (let next = (gap + SLOT_WORDS) & mask; !this.#isEmpty(next); next = (next + SLOT_WORDS) & mask) {
      const distance = (next - this.#home(word(table, next))) & mask
      if (distance < ((next - gap) & mask)) continue
      table.copyWithin(gap, next, next + SLOT_WORDS)
      this.#ages[gap >>> 2] = this.#ages[next >>> 2] ?? 0
      gap = next
    }
    table.fill(0, gap, gap + SLOT_WORDS)
    this.#ages[gap >>> 2] = 0
    this.#size--
  }

  #makeRoom(): void {
    if (this.#slots < this.#slotsMax) this.#grow()
    else this.#evict()
  }

  #grow(): void {
    const old = this.#table
    const oldAges = this.#ages
    this.#slots *= 2
    this.#table = new Uint32Array(this.#slots * SLOT_WORDS)
    this.#ages = new Uint8Array(this.#slots)
    this.#hand = 0
    for (let from = 0; from < old.length; from += SLOT_WORDS) {
      if ((word(old, from + 2) | word(old, from + 3)) === 0) continue
      const to = this.#probe(word(old, from), word(old, from + 1))
      for (let i = 0; i < SLOT_WORDS; i++) this.#table[to + i] = word(old, from + i)
      this.#ages[to >>> 2] = oldAges[from >>> 2] ?? 0
    }
  }

  /** Drops the least recently asked of the next entries under the hand. */
  #evict(): void {
    let victim = -1
    let victimAge = AGE_MAX + 1
    for (let seen = 0; seen < EVICTION_WINDOW; this.#hand = (this.#hand + 1) & (this.#slots - 1)) {
      if (this.#isEmpty(this.#hand * SLOT_WORDS)) continue
      seen++
      const age = this.#ages[this.#hand] ?? 0
      if (age < victimAge) {
        victim = this.#hand * SLOT_WORDS
        victimAge = age
      }
      if (age > 0) this.#ages[this.#hand] = age - 1
    }
    if (victim < 0) return
    for (let column = 0; column < CLUSTERS_MAX; column++) this.#setNibble(victim, column, 0)
    this.#remove(victim)
  }
}

function word(words: Uint32Array, index: number): number {
  return words[index] as number
}
