/** Stores whose parent is not known yet: they wait for it, up to bounds; the oldest give way. */
import { textOf } from '../events/block-identity.ts'
import { copyRun } from '../events/event-batch.ts'
import { hashOf, type EngineHash, type StoredRun } from '../events/kv-event.ts'

/** Of one endpoint. */
export const ORPHANS_MAX = 1024
export const ORPHAN_BLOCKS_MAX = 32_768
/** Tokens, and letters of what else makes their blocks others. */
export const ORPHAN_WEIGHT_MAX = 2_000_000

interface Orphan {
  run: StoredRun
  readonly weight: number
  readonly parent: EngineHash
}

export class OrphanStore {
  readonly #byParent = new Map<EngineHash, Set<Orphan>>()
  /** In order of arrival. */
  readonly #all = new Set<Orphan>()
  /** Each waiting block. Of two that wait under one hash the later counts. */
  readonly #byHash = new Map<EngineHash, Orphan>()
  #blocks = 0
  #weight = 0

  get size(): number {
    return this.#all.size
  }

  get blocks(): number {
    return this.#blocks
  }

  /** Keeps a copy. A run without a parent is no orphan. */
  add(run: StoredRun): void {
    const weight = weightOf(run)
    if (!run.hasParent || run.hashCount > ORPHAN_BLOCKS_MAX || weight > ORPHAN_WEIGHT_MAX) return
    const orphan: Orphan = { run: copyRun(run), weight, parent: hashOf(run.parentLo, run.parentHi) }
    const siblings = this.#byParent.get(orphan.parent)
    if (siblings) siblings.add(orphan)
    else this.#byParent.set(orphan.parent, new Set([orphan]))
    this.#all.add(orphan)
    this.#blocks += run.hashCount
    this.#weight += weight
    for (let i = 0; i < run.hashCount; i++) this.#byHash.set(hashAt(orphan.run, i), orphan)
    while (
      this.#all.size > ORPHANS_MAX ||
      this.#blocks > ORPHAN_BLOCKS_MAX ||
      this.#weight > ORPHAN_WEIGHT_MAX
    ) {
      const [oldest] = this.#all
      if (!oldest) return
      this.#drop(oldest)
    }
  }

  /** Takes out the stores that wait for a parent. */
  take(lo: number, hi: number): StoredRun[] {
    if (this.#all.size === 0) return []
    const waiting = this.#byParent.get(hashOf(lo, hi))
    if (!waiting) return []
    const runs = [...waiting].map(({ run }) => run)
    for (const orphan of waiting) this.#drop(orphan)
    return runs
  }

  /** A waiting block was evicted: it and all that wait behind it are no longer there. */
  forget(lo: number, hi: number): void {
    if (this.#all.size === 0) return
    this.take(lo, hi)
    const hash = hashOf(lo, hi)
    const orphan = this.#byHash.get(hash)
    if (!orphan) return
    let at = 0
    while (at < orphan.run.hashCount && hashAt(orphan.run, at) !== hash) at++
    if (at === 0) {
      this.#drop(orphan)
      return
    }
    for (let i = at; i < orphan.run.hashCount; i++) this.#forgetHash(orphan, i)
    this.#blocks -= orphan.run.hashCount - at
    orphan.run = copyRun(orphan.run, at)
  }

  clear(): void {
    this.#byParent.clear()
    this.#all.clear()
    this.#byHash.clear()
    this.#blocks = 0
    this.#weight = 0
  }

  #drop(orphan: Orphan): void {
    this.#all.delete(orphan)
    this.#weight -= orphan.weight
    this.#blocks -= orphan.run.hashCount
    for (let i = 0; i < orphan.run.hashCount; i++) this.#forgetHash(orphan, i)
    const siblings = this.#byParent.get(orphan.parent)
    siblings?.delete(orphan)
    if (siblings?.size === 0) this.#byParent.delete(orphan.parent)
  }

  #forgetHash(orphan: Orphan, index: number): void {
    const hash = hashAt(orphan.run, index)
    if (this.#byHash.get(hash) === orphan) this.#byHash.delete(hash)
  }
}

function weightOf({ tokenCount, extraKeys }: StoredRun): number {
  return tokenCount + (extraKeys.length === 0 ? 0 : textOf(extraKeys).length)
}

function hashAt(run: StoredRun, index: number): EngineHash {
  return hashOf(run.hashes[index * 2] ?? 0, run.hashes[index * 2 + 1] ?? 0)
}
