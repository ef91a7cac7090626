/** Virtual time: a heap of what happens when. Equal times run in the order in which they were set. */

interface Entry {
  readonly ms: number
  readonly order: number
  readonly run: () => void
}

/** More events than this in one run is a loop that does not end. */
const EVENTS_MAX = 2_000_000_000

export class Clock {
  nowMs = 0
  private readonly heap: Entry[] = []
  private orders = 0

  at(ms: number, run: () => void): void {
    const entry = { ms: Math.max(ms, this.nowMs), order: this.orders++, run }
    const { heap } = this
    let at = heap.length
    heap.push(entry)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]
      if (!above || isBefore(above, entry)) break
      heap[at] = above
      at = parent
    }
    heap[at] = entry
  }

  /** Runs until nothing is left, or until `isOver` says so. */
  run(isOver: () => boolean): void {
    for (let events = 0; events < EVENTS_MAX && !isOver(); events++) {
      const next = this.pop()
      if (!next) return
      this.nowMs = next.ms
      next.run()
    }
  }

  private pop(): Entry | null {
    const { heap } = this
    const first = heap[0]
    const last = heap.pop()
    if (!first || !last) return null
    if (heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      let below = heap[child]
      if (!below) break
      const right = heap[child + 1]
      if (right && isBefore(right, below)) {
        below = right
        child++
      }
      if (isBefore(last, below)) break
      heap[at] = below
      at = child
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.ms < b.ms || (a.ms === b.ms && a.order < b.order)
}
