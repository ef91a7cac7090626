/**
 * The events of one batch in typed arrays that are used again for the next one. Whoever keeps a run beyond its batch makes
 * a copy of it (`copyRun`).
 */
import { hashOf, type KvEvent, type RemovedRun, type StoredEvent, type StoredRun } from './kv-event.ts'

/** vLLM publishes one batch an engine step; these are far above what a step can fill. */
export const EVENTS_MAX = 100_000
export const HASHES_MAX = 1_000_000
export const TOKENS_MAX = 4_000_000

/** What is kept for the next batch, in events, hashes and tokens; what a larger one took is let go. */
const KEPT_MAX = 262_144

export type EventKind = 'stored' | 'removed' | 'cleared'

/** One event; a batch owns and reuses it. Fields that its kind has not are stale. */
export class BatchEvent implements StoredRun, RemovedRun {
  readonly #batch: EventBatch
  kind: EventKind = 'cleared'
  hashFrom = 0
  hashCount = 0
  tokenFrom = 0
  tokenCount = 0
  hasParent = false
  parentLo = 0
  parentHi = 0
  blockTokens = 0
  lora: string | null = null
  salt: string | null = null
  extraKeys: readonly unknown[] = NO_EXTRAS
  medium: string | null = null
  group = 0
  groupKind: string | null = null
  windowTokens: number | null = null

  constructor(batch: EventBatch) {
    this.#batch = batch
  }

  get hashes(): Int32Array {
    return this.#batch.hashes
  }

  get tokens(): Int32Array {
    return this.#batch.tokens
  }
}

export const NO_EXTRAS: readonly unknown[] = []

export class EventBatch {
  hashes = new Int32Array(2 * 1024)
  tokens = new Int32Array(16 * 1024)
  hashCount = 0
  tokenCount = 0
  count = 0
  skipped = 0
  /** As in `KvEventBatch`. */
  isLossy = false
  rank: number | null = null
  madeMs: number | null = null
  readonly #events: BatchEvent[] = []

  clear(): void {
    if (this.count > KEPT_MAX) this.#events.length = KEPT_MAX
    if (this.hashes.length > 2 * KEPT_MAX) this.hashes = new Int32Array(2 * KEPT_MAX)
    if (this.tokens.length > KEPT_MAX) this.tokens = new Int32Array(KEPT_MAX)
    this.hashCount = this.tokenCount = this.count = this.skipped = 0
    this.isLossy = false
    this.rank = null
    this.madeMs = null
  }

  event(index: number): BatchEvent {
    const event = this.#events[index]
    if (!event || index >= this.count) throw new RangeError('no such event in the batch')
    return event
  }

  /** An event more, with every field as if the engine had left it out. */
  open(kind: EventKind): BatchEvent {
    const event = (this.#events[this.count] ??= new BatchEvent(this))
    this.count++
    event.kind = kind
    event.hashFrom = this.hashCount
    event.tokenFrom = this.tokenCount
    event.hashCount = event.tokenCount = event.blockTokens = event.group = 0
    event.hasParent = false
    event.lora = event.salt = event.medium = event.groupKind = null
    event.windowTokens = null
    event.extraKeys = NO_EXTRAS
    return event
  }

  /** Takes the last event back. */
  drop(event: BatchEvent): void {
    this.count--
    this.hashCount = event.hashFrom
    this.tokenCount = event.tokenFrom
  }

  /** Room for so many more; false beyond the bound. */
  reserveHashes(count: number): boolean {
    const needed = this.hashCount + count
    if (needed > HASHES_MAX) return false
    if (needed * 2 > this.hashes.length) this.hashes = grown(this.hashes, needed * 2)
    return true
  }

  reserveTokens(count: number): boolean {
    const needed = this.tokenCount + count
    if (needed > TOKENS_MAX) return false
    if (needed > this.tokens.length) this.tokens = grown(this.tokens, needed)
    return true
  }

  /** False when the event is beyond the bounds of a batch. */
  push(event: KvEvent): boolean {
    const hashes = event.kind === 'cleared' ? [] : event.hashes
    const tokens = event.kind === 'stored' ? event.tokens : []
    if (this.count >= EVENTS_MAX || !this.reserveHashes(hashes.length) || !this.reserveTokens(tokens.length))
      return false
    const run = this.open(event.kind)
    for (const hash of hashes) this.addHash(Number(hash & 0xffffffffn) | 0, Number(hash >> 32n) | 0)
    run.hashCount = hashes.length
    for (const token of tokens) this.tokens[this.tokenCount++] = token
    run.tokenCount = tokens.length
    if (event.kind === 'cleared') return true
    run.medium = event.medium
    run.group = event.group
    if (event.kind === 'stored') setStored(run, event)
    return true
  }

  addHash(lo: number, hi: number): void {
    const at = this.hashCount++ * 2
    this.hashes[at] = lo
    this.hashes[at + 1] = hi
  }
}

function setStored(run: BatchEvent, event: StoredEvent): void {
  run.hasParent = event.parent !== null
  run.parentLo = event.parent === null ? 0 : Number(event.parent & 0xffffffffn) | 0
  run.parentHi = event.parent === null ? 0 : Number(event.parent >> 32n) | 0
  run.blockTokens = event.blockTokens
  run.lora = event.lora
  run.salt = event.salt ?? null
  run.extraKeys = event.extraKeys
  run.groupKind = event.groupKind
  run.windowTokens = event.windowTokens ?? null
}

/** An event of a batch as values of its own. */
export function readEvent(event: BatchEvent): KvEvent {
  if (event.kind === 'cleared') return { kind: 'cleared' }
  const hashes = Array.from({ length: event.hashCount }, (_, i) => {
    const at = (event.hashFrom + i) * 2
    return hashOf(event.hashes[at] ?? 0, event.hashes[at + 1] ?? 0)
  })
  const { medium, group, lora, salt, extraKeys, groupKind, windowTokens, blockTokens } = event
  if (event.kind === 'removed') return { kind: 'removed', hashes, medium, group }
  const tokens = [...event.tokens.subarray(event.tokenFrom, event.tokenFrom + event.tokenCount)]
  const parent = event.hasParent ? hashOf(event.parentLo, event.parentHi) : null
  return {
    kind: 'stored',
    hashes,
    parent,
    tokens,
    blockTokens,
    lora,
    salt,
    extraKeys,
    medium,
    group,
    groupKind,
    windowTokens,
  }
}

/** The first `hashCount` blocks of a run, in arrays of its own. */
export function copyRun(run: StoredRun, hashCount = run.hashCount): StoredRun {
  const tokenCount = Math.min(run.tokenCount, hashCount * run.blockTokens)
  return {
    hashes: run.hashes.slice(run.hashFrom * 2, (run.hashFrom + hashCount) * 2),
    hashFrom: 0,
    hashCount,
    tokens: run.tokens.slice(run.tokenFrom, run.tokenFrom + tokenCount),
    tokenFrom: 0,
    tokenCount,
    hasParent: run.hasParent,
    parentLo: run.parentLo,
    parentHi: run.parentHi,
    blockTokens: run.blockTokens,
    lora: run.lora,
    salt: run.salt,
    extraKeys: run.extraKeys.slice(0, hashCount),
    medium: run.medium,
    group: run.group,
    groupKind: run.groupKind,
    windowTokens: run.windowTokens,
  }
}

function grown(from: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  let size = from.length
  while (size < length) size *= 2
  const to = new Int32Array(size)
  to.set(from)
  return to
}
