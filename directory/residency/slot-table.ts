/**
 * Open addressing over one interleaved array: four words a slot, so that a probe touches one cache line.
 *
 *     low half | epoch (5 bits), age (3), 24 bits of the high half | nibbles of columns 0-7 | nibbles of columns 8-15
 *
 * Robin Hood order: along a run of slots entries lie in the order of their homes, so that a miss ends early even at a load
 * of 7/8. Deletion by backward shift. A slot without nibbles is empty.
 */
export const SLOT_WORDS = 4
export const KEY_MASK = 0x00ffffff
/** 4 KiB, as platforms hand memory out. */
const PAGE_WORDS = 1024

export class SlotTable {
  readonly slots: number
  readonly words: Uint32Array
  /** Slots in use. */
  used = 0
  /** The slot at which a sweep over the table goes on. */
  swept = 0
  #pagesWarmed = 0
  /** What `touch` read last: nobody needs it. */
  touched = 0

  /** `slots` is a power of two. Who inserts keeps some of them empty. */
  constructor(slots: number) {
    this.slots = slots
    this.words = new Uint32Array(slots * SLOT_WORDS)
  }

  /** Has the platform lay the next page of memory under a table that is still empty. */
  warmPage(): void {
    const at = this.#pagesWarmed++ * PAGE_WORDS
    if (at < this.words.length) this.words[at] = 0
  }

  isEmpty(at: number): boolean {
    return ((this.words[at + 2] as number) | (this.words[at + 3] as number)) === 0
  }

  /**
   * Reads the home of each marker's key: a million entries lie in no cache, and loads that do not wait for each other are
   * under way together. What they give is kept, or they would be left out.
   */
  touch(markers: Uint32Array): void {
    const { words } = this
    let touched = 0
    for (let at = 1; at < markers.length; at += 3)
      touched ^= words[this.#home(markers[at] as number)] as number
    this.touched = touched
  }

  /** The index of the key's slot, or -1. */
  find(lo: number, hi: number): number {
    const { words } = this
    const mask = words.length - 1
    const key = hi & KEY_MASK
    for (let at = this.#home(lo), distance = 0; ; at = (at + SLOT_WORDS) & mask, distance += SLOT_WORDS) {
      if (this.isEmpty(at)) return -1
      const low = words[at] as number
      if (low === lo && ((words[at + 1] as number) & KEY_MASK) === key) return at
      if (((at - this.#home(low)) & mask) < distance) return -1
    }
  }

  /** Makes a slot for a key that is not there: low half and `head` as given, without nibbles. */
  insert(lo: number, head: number): number {
    const { words } = this
    const mask = words.length - 1
    let at = this.#home(lo)
    for (let distance = 0; !this.isEmpty(at); at = (at + SLOT_WORDS) & mask, distance += SLOT_WORDS) {
      if (((at - this.#home(words[at] as number)) & mask) < distance) break
    }
    let end = at
    while (!this.isEmpty(end)) end = (end + SLOT_WORDS) & mask
    for (let to = end; to !== at; to = (to - SLOT_WORDS) & mask) this.#move((to - SLOT_WORDS) & mask, to)
    words[at] = lo
    words[at + 1] = head
    words[at + 2] = 0
    words[at + 3] = 0
    this.used++
    return at
  }

  /** Closes the gap at `at` by shifting back the entries behind it that are not at home. */
  remove(at: number): void {
    const { words } = this
    const mask = words.length - 1
    let gap = at
    for (let next = (gap + SLOT_WORDS) & mask; ; next = (next + SLOT_WORDS) & mask) {
      if (this.isEmpty(next) || this.#home(words[next] as number) === next) break
      this.#move(next, gap)
      gap = next
    }
    words.fill(0, gap, gap + SLOT_WORDS)
    this.used--
  }

  /** An entry that moves from before the sweep to behind it would be missed: the sweep goes back for it. */
  #move(from: number, to: number): void {
    const { words } = this
    words[to] = words[from] as number
    words[to + 1] = words[from + 1] as number
    words[to + 2] = words[from + 2] as number
    words[to + 3] = words[from + 3] as number
    const slot = to / SLOT_WORDS
    if (slot < this.swept && from / SLOT_WORDS >= this.swept) this.swept = slot
  }

  /** Keys are keyed hashes: their low bits are uniform already. */
  #home(lo: number): number {
    return (lo & (this.slots - 1)) * SLOT_WORDS
  }
}
