/**
 * A path of limited bandwidth that concurrent loads share evenly. Each load waits for the floor first, without taking
 * bandwidth. The caller has the clock.
 */
import type { TierCost } from '../../protocol/report.ts'

/** A load is over when less than this is left: sums of doubles do not end at zero. */
const REST_BYTES = 16

interface Load<T> {
  readonly item: T
  /** When its bytes start to flow. */
  readonly startMs: number
  restBytes: number
}

export class SharedChannel<T> {
  private readonly cost: TierCost
  private readonly loads: Load<T>[] = []
  private ended: T[] = []
  private atMs = 0

  constructor(cost: TierCost) {
    this.cost = cost
  }

  get size(): number {
    return this.loads.length + this.ended.length
  }

  /** `extraMs`: by how much longer than the floor this load waits. */
  start(item: T, bytes: number, nowMs: number, extraMs = 0): void {
    this.advance(nowMs)
    this.loads.push({ item, startMs: nowMs + this.cost.floorMs + extraMs, restBytes: bytes })
  }

  delete(item: T): void {
    const at = this.loads.findIndex((load) => load.item === item)
    if (at >= 0) this.loads.splice(at, 1)
    this.ended = this.ended.filter((other) => other !== item)
  }

  /** When the next load ends if no other starts, or null without any. */
  nextEndMs(): number | null {
    if (this.ended.length > 0) return this.atMs
    if (this.loads.length === 0) return null
    // Ends in the course of the loads that run now and those that will join them.
    const rests = this.loads.map(({ restBytes, startMs }) => ({ restBytes, startMs }))
    let atMs = this.atMs
    for (;;) {
      const flowing = rests.filter(({ startMs }) => startMs <= atMs)
      const starts = rests.flatMap(({ startMs }) => (startMs > atMs ? [startMs] : []))
      const nextStartMs = Math.min(...starts)
      const endMs = atMs + this.drainMs(flowing)
      if (endMs <= nextStartMs) return endMs
      const bytes = ((nextStartMs - atMs) * this.cost.bytesPerMs) / Math.max(flowing.length, 1)
      for (const rest of flowing) rest.restBytes -= bytes
      atMs = nextStartMs
    }
  }

  /** Takes out what has arrived by `nowMs`, in the order in which it was started. */
  takeEnded(nowMs: number): T[] {
    this.advance(nowMs)
    const ended = this.ended
    if (ended.length > 0) this.ended = []
    return ended
  }

  private advance(nowMs: number): void {
    while (this.loads.length > 0) {
      const flowing = this.loads.filter(({ startMs }) => startMs <= this.atMs)
      const nextStartMs = Math.min(
        ...this.loads.map(({ startMs }) => (startMs > this.atMs ? startMs : Infinity)),
      )
      const endMs = Math.min(this.atMs + this.drainMs(flowing), nextStartMs, nowMs)
      const bytes = ((endMs - this.atMs) * this.cost.bytesPerMs) / Math.max(flowing.length, 1)
      this.atMs = Math.max(endMs, this.atMs)
      for (const load of flowing) {
        load.restBytes -= bytes
        if (load.restBytes > REST_BYTES) continue
        this.loads.splice(this.loads.indexOf(load), 1)
        this.ended.push(load.item)
      }
      if (this.atMs >= nowMs) break
    }
    this.atMs = Math.max(this.atMs, nowMs)
  }

  private drainMs(flowing: readonly { readonly restBytes: number }[]): number {
    if (flowing.length === 0) return Infinity
    let least = Infinity
    for (const { restBytes } of flowing) least = Math.min(least, restBytes)
    return (Math.max(least, 0) * flowing.length) / this.cost.bytesPerMs
  }
}
