/** Virtual time: what is due runs in the order of its time, equal times in the order in which they were planned. */
interface Due {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

export class VirtualClock {
  readonly #heap: Due[] = []
  #nowMs = 0
  #planned = 0

  get nowMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, run: () => void): void {
    const due = { atMs: this.#nowMs + Math.max(delayMs, 0), order: this.#planned++, run }
    const heap = this.#heap
    let at = heap.push(due) - 1
    for (let parent = (at - 1) >> 1; at > 0 && isBefore(due, heap[parent]); parent = (at - 1) >> 1) {
      heap[at] = heap[parent] as Due
      at = parent
    }
    heap[at] = due
  }

  /** Runs what is next; false when nothing is, or not before `untilMs`. */
  step(untilMs: number): boolean {
    const heap = this.#heap
    const first = heap[0]
    if (!first || first.atMs > untilMs) return false
    const last = heap.pop() as Due
    if (heap.length > 0) this.#sink(last)
    this.#nowMs = first.atMs
    first.run()
    return true
  }

  #sink(due: Due): void {
    const heap = this.#heap
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (isBefore(heap[child + 1], heap[child])) child++
      if (!isBefore(heap[child], due)) break
      heap[at] = heap[child] as Due
      at = child
    }
    heap[at] = due
  }
}

function isBefore(a: Due | undefined, b: Due | undefined): boolean {
  if (!a) return false
  return !b || a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
