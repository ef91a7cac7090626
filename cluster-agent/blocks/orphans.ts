/** Stores whose parent is not known yet: they wait for it, up to a bound; the oldest give way. */
import type { EngineHash, StoredEvent } from '../events/kv-event.ts'

export const ORPHANS_MAX = 1024

export class OrphanStore {
  readonly #byParent = new Map<EngineHash, StoredEvent[]>()
  #size = 0

  get size(): number {
    return this.#size
  }

  add(event: StoredEvent): void {
    if (event.parent === null) return
    const siblings = this.#byParent.get(event.parent)
    if (siblings) siblings.push(event)
    else this.#byParent.set(event.parent, [event])
    this.#size++
    while (this.#size > ORPHANS_MAX) {
      const oldest = this.#byParent.keys().next()
      if (oldest.done === true) return
      this.take(oldest.value)
    }
  }

  /** Takes out the stores that wait for `parent`. */
  take(parent: EngineHash): readonly StoredEvent[] {
    const waiting = this.#byParent.get(parent)
    if (!waiting) return []
    this.#byParent.delete(parent)
    this.#size -= waiting.length
    return waiting
  }

  /** A waiting block was evicted: it and all that wait behind it are no longer there. */
  forget(hash: EngineHash): void {
    this.take(hash)
    for (const [parent, events] of this.#byParent) {
      const kept = events.flatMap((event) => truncate(event, hash))
      this.#size -= events.length - kept.length
      if (kept.length === 0) this.#byParent.delete(parent)
      else this.#byParent.set(parent, kept)
    }
  }

  clear(): void {
    this.#byParent.clear()
    this.#size = 0
  }
}

/** The part of a store before the block `hash`. */
function truncate(event: StoredEvent, hash: EngineHash): StoredEvent[] {
  const at = event.hashes.indexOf(hash)
  if (at < 0) return [event]
  if (at === 0) return []
  return [
    { ...event, hashes: event.hashes.slice(0, at), tokens: event.tokens.slice(0, at * event.blockTokens) },
  ]
}
