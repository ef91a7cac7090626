/**
 * Which clusters hold which prefix on which tier: PrefixKey -> one nibble a cluster, 16 bytes a slot (`slot-table.ts`), at
 * most 7/8 of the slots in use. A column is cleared by opening a new epoch: nibbles that an older epoch wrote no longer
 * count, and a sweep tidies them up a few slots at a time (`epochs.ts`). Of the high half of a key 24 bits are kept: that
 * an absent key looks present has a chance of 2^-35 at a full map, and costs a wrong estimate.
 */
import { NIBBLE_TIER_MASK } from '../../core/tiers.ts'
import { CLUSTERS_MAX } from '../../protocol/ids.ts'
import { ColumnEpochs } from './epochs.ts'
import { takeNibbles } from './nibbles.ts'
import { KEY_MASK, SLOT_WORDS, SlotTable } from './slot-table.ts'

const SLOTS_MIN = 1024
const LOAD_NUMERATOR = 7
const LOAD_DENOMINATOR = 8
const AGE_SHIFT = 24
const AGE_MASK = 7
const EPOCH_SHIFT = 27
const AGE_NEW = 1
const AGE_MAX = 7
/** How many entries one eviction looks at: the least recently asked of them goes. */
const EVICTION_WINDOW = 32
const TIER_NUMBERS = NIBBLE_TIER_MASK + 1

export interface ResidencyMatch {
  /** By column: offset in bytes of the deepest resident marker, 0 when none is. */
  readonly offsetBytes: Uint32Array
  /** By column: the nibble there. */
  readonly nibbles: Uint8Array
}

export class ResidencyMap {
  readonly #slotsMax: number
  #table = new SlotTable(SLOTS_MIN)
  /** The table that the entries move to when this one is full. */
  #next: SlotTable | null = null
  #epochs = new ColumnEpochs()
  /** The slot at which the next eviction begins to look. */
  #hand = 0
  readonly #columnSizes = new Uint32Array(CLUSTERS_MAX)
  /** By column and tier number. */
  readonly #tierSizes = new Uint32Array(CLUSTERS_MAX * TIER_NUMBERS)
  readonly #match: ResidencyMatch = {
    offsetBytes: new Uint32Array(CLUSTERS_MAX),
    nibbles: new Uint8Array(CLUSTERS_MAX),
  }

  /** Holds at most 7/8 of `slotsMax` entries, which is rounded down to a power of two. */
  constructor(slotsMax: number) {
    this.#slotsMax = Math.max(SLOTS_MIN, 2 ** Math.floor(Math.log2(slotsMax)))
  }

  /** Slots in use, some of them by keys of cleared columns that the sweep has not reached. */
  get size(): number {
    return this.#table.used
  }

  get entriesMax(): number {
    return (this.#slotsMax / LOAD_DENOMINATOR) * LOAD_NUMERATOR
  }

  get bytes(): number {
    return this.#table.words.byteLength
  }

  /** How many keys the cluster of `column` holds. */
  columnSize(column: number): number {
    return this.#columnSizes[column] ?? 0
  }

  /** How many of them on the tier. */
  tierSize(column: number, tier: number): number {
    return this.#tierSizes[column * TIER_NUMBERS + tier] ?? 0
  }

  /** From now on the key lies in the cluster of `column` as `nibble` says, or nowhere (0). */
  set(lo: number, hi: number, column: number, nibble: number): void {
    let at = this.#table.find(lo, hi)
    if (at < 0) {
      if (nibble === 0) return
      const { used, slots } = this.#table
      if ((used + 1) * LOAD_DENOMINATOR > slots * LOAD_NUMERATOR) this.#makeRoom()
      else if ((used & 7) === 0 && used * 4 > slots * 3) this.#prepare()
      const head = (hi & KEY_MASK) | (AGE_NEW << AGE_SHIFT) | (this.#epochs.current << EPOCH_SHIFT)
      at = this.#table.insert(lo, head)
    }
    this.#normalise(at)
    this.#setNibble(at, column, nibble)
    if (this.#table.isEmpty(at)) this.#table.remove(at)
  }

  /** The nibble of the key in the cluster of `column`, 0 when it is not resident there. */
  get(lo: number, hi: number, column: number): number {
    const { words } = this.#table
    const at = this.#table.find(lo, hi)
    if (at < 0) return 0
    const valid = this.#epochs.valid(word(words, at + 1) >>> EPOCH_SHIFT, column >>> 3)
    return ((word(words, at + 2 + (column >>> 3)) & valid) >>> ((column & 7) * 4)) & 15
  }

  /**
   * The deepest resident marker of each column. `markers` are u32 triples (offset, low, high) by rising offset. The
   * answer is one reused object, valid until the next call. Hit entries count as asked.
   */
  match(markers: Uint32Array): ResidencyMatch {
    const { offsetBytes, nibbles } = this.#match
    const { words } = this.#table
    offsetBytes.fill(0)
    nibbles.fill(0)
    this.#table.touch(markers)
    let open0 = this.#openColumns(0)
    let open1 = this.#openColumns(8)
    for (let marker = markers.length - 3; marker >= 0 && (open0 | open1) !== 0; marker -= 3) {
      const at = this.#table.find(word(markers, marker + 1), word(markers, marker + 2))
      if (at < 0) continue
      const head = word(words, at + 1)
      words[at + 1] = head | (AGE_MAX << AGE_SHIFT)
      const epoch = head >>> EPOCH_SHIFT
      const offset = word(markers, marker)
      const word0 = word(words, at + 2) & this.#epochs.valid(epoch, 0)
      const word1 = word(words, at + 3) & this.#epochs.valid(epoch, 1)
      open0 = takeNibbles(word0, open0, 0, offset, offsetBytes, nibbles)
      open1 = takeNibbles(word1, open1, 8, offset, offsetBytes, nibbles)
    }
    return this.#match
  }

  /** Forgets everything that the cluster of `column` holds, at once and without looking at any of it. */
  clearColumn(column: number): void {
    if (this.columnSize(column) === 0) return
    this.#columnSizes[column] = 0
    this.#tierSizes.fill(0, column * TIER_NUMBERS, (column + 1) * TIER_NUMBERS)
    // Only dozens of clears within one pass of the sweep come to this.
    while (this.#epochs.isFull) this.sweep(this.#table.slots)
    this.#epochs.clear(column)
  }

  /** Looks at the next `slots` slots and lets go of what cleared columns left there. Costs nothing when all is tidy. */
  sweep(slots: number): void {
    const table = this.#table
    for (let left = slots; left > 0 && this.#epochs.isUntidy; left--) {
      if (table.swept === 0) this.#epochs.beginPass()
      const at = table.swept * SLOT_WORDS
      if (!table.isEmpty(at)) {
        this.#normalise(at)
        // A removal shifts a later entry into this slot, so the slot is looked at again.
        if (table.isEmpty(at)) {
          table.remove(at)
          continue
        }
      }
      if (++table.swept < table.slots) continue
      table.swept = 0
      this.#epochs.endPass()
    }
  }

  /** Drops the nibbles that no longer count and brings the slot to the current epoch. */
  #normalise(at: number): void {
    const { words } = this.#table
    const head = word(words, at + 1)
    const epoch = head >>> EPOCH_SHIFT
    if (epoch === this.#epochs.current) return
    words[at + 2] = word(words, at + 2) & this.#epochs.valid(epoch, 0)
    words[at + 3] = word(words, at + 3) & this.#epochs.valid(epoch, 1)
    words[at + 1] = (head & ((1 << EPOCH_SHIFT) - 1)) | (this.#epochs.current << EPOCH_SHIFT)
  }

  #setNibble(at: number, column: number, nibble: number): void {
    const index = at + 2 + (column >>> 3)
    const shift = (column & 7) * 4
    const { words } = this.#table
    const before = (word(words, index) >>> shift) & 15
    words[index] = (word(words, index) & ~(15 << shift)) | ((nibble & 15) << shift)
    if (before === nibble) return
    this.#countTier(column, before, -1)
    this.#countTier(column, nibble, 1)
  }

  #countTier(column: number, nibble: number, by: number): void {
    if (nibble === 0) return
    this.#columnSizes[column] = this.columnSize(column) + by
    const tier = nibble & NIBBLE_TIER_MASK
    this.#tierSizes[column * TIER_NUMBERS + tier] = this.tierSize(column, tier) + by
  }

  /** One bit a nibble for each of the eight columns from `first` that holds anything. */
  #openColumns(first: number): number {
    let open = 0
    for (let i = 0; i < 8; i++) if (this.columnSize(first + i) > 0) open |= 1 << (i * 4)
    return open
  }

  /** Makes the next table bit by bit: 32 MiB of fresh memory at once would hold up lookups for longer than the entries. */
  #prepare(): void {
    const slots = this.#table.slots * 2
    if (slots <= this.#slotsMax) (this.#next ??= new SlotTable(slots)).warmPage()
  }

  #makeRoom(): void {
    if (this.#table.slots < this.#slotsMax) this.#grow()
    else this.#evict()
  }

  #grow(): void {
    const { words, slots } = this.#table
    const epochs = this.#epochs
    this.#table = this.#next ?? new SlotTable(slots * 2)
    this.#next = null
    this.#epochs = new ColumnEpochs()
    this.#hand = 0
    for (let from = 0; from < words.length; from += SLOT_WORDS) {
      const head = word(words, from + 1)
      const word0 = word(words, from + 2) & epochs.valid(head >>> EPOCH_SHIFT, 0)
      const word1 = word(words, from + 3) & epochs.valid(head >>> EPOCH_SHIFT, 1)
      if ((word0 | word1) === 0) continue
      const to = this.#table.insert(word(words, from), head & ((1 << EPOCH_SHIFT) - 1))
      this.#table.words[to + 2] = word0
      this.#table.words[to + 3] = word1
    }
  }

  /** Drops the least recently asked of the next entries under the hand. */
  #evict(): void {
    const table = this.#table
    let victim = -1
    let victimAge = AGE_MAX + 1
    for (let seen = 0; seen < EVICTION_WINDOW; this.#hand = (this.#hand + 1) & (table.slots - 1)) {
      const at = this.#hand * SLOT_WORDS
      if (table.isEmpty(at)) continue
      seen++
      this.#normalise(at)
      if (table.isEmpty(at)) return table.remove(at)
      const head = word(table.words, at + 1)
      const age = (head >>> AGE_SHIFT) & AGE_MASK
      if (age < victimAge) {
        victim = at
        victimAge = age
      }
      if (age > 0) table.words[at + 1] = head - (1 << AGE_SHIFT)
    }
    if (victim < 0) return
    for (let column = 0; column < CLUSTERS_MAX; column++) this.#setNibble(victim, column, 0)
    table.remove(victim)
  }
}

function word(words: Uint32Array, index: number): number {
  return words[index] as number
}
