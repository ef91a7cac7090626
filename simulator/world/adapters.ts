/** Which adapters each engine holds: the least recently used makes room, and a new one takes its time to come. */

export class Adapters {
  private readonly slots: number
  private readonly loadMs: number
  /** By endpoint: adapter -> when it is there. */
  private readonly held: Map<number, number>[]

  constructor(endpoints: number, { slots, loadMs }: { readonly slots: number; readonly loadMs: number }) {
    this.slots = slots
    this.loadMs = loadMs
    this.held = Array.from({ length: endpoints }, () => new Map())
  }

  isHeld(endpoint: number, adapter: number): boolean {
    return this.held[endpoint]?.has(adapter) ?? false
  }

  /** Milliseconds until the adapter is there; asking uses it. A negative adapter is the base model. */
  use(endpoint: number, adapter: number, nowMs: number): number {
    const held = this.held[endpoint]
    if (!held || adapter < 0) return 0
    const readyMs = held.get(adapter) ?? nowMs + this.loadMs
    held.delete(adapter)
    held.set(adapter, readyMs)
    if (held.size > this.slots) {
      const oldest = held.keys().next()
      if (!oldest.done) held.delete(oldest.value)
    }
    return Math.max(readyMs - nowMs, 0)
  }

  clear(endpoint: number): void {
    this.held[endpoint]?.clear()
  }
}
