/**
 * The DRAM tier behind one engine's GPU: prompt blocks are copied here right after they are computed, least recently
 * used go first. Events are the OffloadingConnector's default placeholders.
 */
import type { BlockHashes } from './block-hash.ts'
import type { KvEvent } from './kv-event.ts'

/** Blocks in DRAM by hash key; a Map keeps insertion order, which serves as the LRU order. */
export class DramTier {
  private readonly blocksMax: number
  private readonly entries = new Map<number, bigint>()

  constructor(blocksMax: number) {
    this.blocksMax = blocksMax
  }

  has(key: number): boolean {
    return this.entries.has(key)
  }

  /** Copies a block here, or renews it. */
  store(hashes: BlockHashes, index: number, events: KvEvent[]): void {
    if (this.blocksMax === 0) return
    const key = hashes.key(index)
    const known = this.entries.get(key)
    if (known !== undefined) {
      this.entries.delete(key)
      this.entries.set(key, known)
      return
    }
    if (this.entries.size >= this.blocksMax) this.evict(events)
    const hash = hashes.value(index)
    this.entries.set(key, hash)
    events.push({ kind: 'offloaded', hash })
  }

  residentHashes(): bigint[] {
    return [...this.entries.values()]
  }

  private evict(events: KvEvent[]): void {
    const oldest = this.entries.entries().next()
    if (oldest.done === true) return
    const [key, hash] = oldest.value
    this.entries.delete(key)
    events.push({ kind: 'removed', hash, medium: 'CPU' })
  }
}
