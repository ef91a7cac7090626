/** Pages of entries, each of which belongs to one lane: a lane is gone through and let go page by page. */

const PAGE_BITS = 8
/** Entries of a page. */
export const PAGE = 1 << PAGE_BITS

export interface Lane {
  readonly pages: number[]
  /** Entries of the last page that were ever used. */
  fresh: number
  /** The first entry of the lane that was given back, plus one; 0: none. */
  free: number
  count: number
}

export class LanePages {
  readonly #pagesMax: number
  readonly #lanes: (Lane | undefined)[] = []
  readonly #freePages: number[] = []
  #owners = new Int32Array(1)
  #pages = 0

  constructor(entriesMax: number) {
    this.#pagesMax = Math.floor(entriesMax / PAGE)
  }

  /** Pages that were ever used. */
  get size(): number {
    return this.#pages
  }

  get(lane: number): Lane | undefined {
    return this.#lanes[lane]
  }

  open(lane: number): Lane {
    return (this.#lanes[lane] ??= { pages: [], fresh: PAGE, free: 0, count: 0 })
  }

  /** Its pages go to others. */
  close(lane: number): void {
    for (const page of this.#lanes[lane]?.pages ?? []) this.#freePages.push(page)
    this.#lanes[lane] = undefined
  }

  ownerOf(entry: number): number {
    return this.#owners[entry >>> PAGE_BITS] as number
  }

  /** A page more for a lane; -1 at the bound. */
  take(lane: number): number {
    let page = this.#freePages.pop() ?? -1
    if (page < 0) {
      if (this.#pages >= this.#pagesMax) return -1
      page = this.#pages++
    }
    if (page >= this.#owners.length) {
      const owners = new Int32Array(this.#owners.length * 2)
      owners.set(this.#owners)
      this.#owners = owners
    }
    this.#owners[page] = lane
    return page
  }
}
