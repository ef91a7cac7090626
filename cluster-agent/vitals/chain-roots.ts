/**
 * How engines begin their chains: with a cache salt or without, in which block size, and under which hash. The same first
 * block has one hash on all engines that share a seed and an algorithm.
 */
import { saltOf } from '../events/block-identity.ts'
import type { EventBatch } from '../events/event-batch.ts'
import type { StoredRun } from '../events/kv-event.ts'

/** First blocks that are remembered to compare; the oldest give way. */
const ROOTS_MAX = 1024

export interface RootCounts {
  salted: number
  unsalted: number
  blockTokens: number
  /** First blocks that another engine stored before, under the same hash and under another. */
  sameHashes: number
  otherHashes: number
}

interface FirstStore {
  readonly endpoint: number
  readonly hashLo: number
  readonly hashHi: number
}

const NONE: Readonly<RootCounts> = { salted: 0, unsalted: 0, blockTokens: 0, sameHashes: 0, otherHashes: 0 }

export class ChainRoots {
  readonly #counts = new Map<number, RootCounts>()
  readonly #first = new Map<string, FirstStore>()

  of(endpoint: number): Readonly<RootCounts> {
    return this.#counts.get(endpoint) ?? NONE
  }

  /** The endpoint begins anew, or another one has its number. */
  forget(endpoint: number): void {
    this.#counts.delete(endpoint)
    for (const [key, root] of this.#first) if (root.endpoint === endpoint) this.#first.delete(key)
  }

  note(endpoint: number, batch: EventBatch): void {
    const counts = this.#counts.get(endpoint) ?? { ...NONE }
    this.#counts.set(endpoint, counts)
    for (let i = 0; i < batch.count; i++) {
      const event = batch.event(i)
      // Placeholders of offload tiers name neither tokens nor a size.
      if (event.kind !== 'stored' || event.blockTokens === 0) continue
      counts.blockTokens = event.blockTokens
      if (!event.hasParent && event.hashCount > 0) this.#noteRoot(endpoint, counts, event)
    }
  }

  #noteRoot(endpoint: number, counts: RootCounts, run: StoredRun): void {
    const salt = saltOf(run)
    if (salt === null) counts.unsalted++
    else counts.salted++
    const key = keyOf(run, salt)
    const hashLo = run.hashes[2 * run.hashFrom] ?? 0
    const hashHi = run.hashes[2 * run.hashFrom + 1] ?? 0
    const known = this.#first.get(key)
    if (!known) this.#remember(key, { endpoint, hashLo, hashHi })
    else if (known.endpoint !== endpoint) {
      if (known.hashLo === hashLo && known.hashHi === hashHi) counts.sameHashes++
      else counts.otherHashes++
    }
  }

  #remember(key: string, store: FirstStore): void {
    this.#first.set(key, store)
    if (this.#first.size <= ROOTS_MAX) return
    const oldest = this.#first.keys().next()
    if (oldest.done !== true) this.#first.delete(oldest.value)
  }
}

/** What the hash of a first block is made of, in short: enough to tell blocks apart, and no prompt to read. */
function keyOf(
  { blockTokens, lora, tokens, tokenFrom, extraKeys: [keys] }: StoredRun,
  salt: string | null,
): string {
  let sum = 0
  let mixed = 0
  for (let i = tokenFrom; i < tokenFrom + blockTokens; i++) {
    const token = tokens[i] ?? 0
    sum = (sum + token) >>> 0
    mixed = (Math.imul(mixed, 0x01000193) ^ token) >>> 0
  }
  const extra = JSON.stringify(keys ?? null, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  )
  return `${blockTokens}/${lora ?? ''}/${salt ?? ''}/${extra}/${sum}/${mixed}`
}
