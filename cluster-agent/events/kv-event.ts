/**
 * What an engine says about its KV cache, without the words of any engine's wire. `KvEvent` is for reading; what is applied
 * to the index by the thousand lies in typed arrays (`StoredRun`, `RemovedRun`, event-batch.ts).
 */

/** The engine's own hash of a block, opaque: 64 bits, or the last 64 of a longer digest. */
export type EngineHash = bigint

export interface StoredEvent {
  readonly kind: 'stored'
  readonly hashes: readonly EngineHash[]
  /** The block before the first, or null when that one starts a prompt. */
  readonly parent: EngineHash | null
  /** Tokens of the whole run; empty in a placeholder, which names hashes only. */
  readonly tokens: readonly number[]
  /** 0 in a placeholder. */
  readonly blockTokens: number
  readonly lora: string | null
  /** What else the engine hashed into each block: salts, images. One entry a hash, or empty. */
  readonly extraKeys: readonly unknown[]
  /** The salt, from engines that name it apart from `extraKeys`. */
  readonly salt?: string | null
  readonly medium: string | null
  readonly group: number
  /** The attention kind of the group, or null from engines that do not say. */
  readonly groupKind: string | null
  /** Tokens that a windowed group looks back, or null. */
  readonly windowTokens?: number | null
}

export interface RemovedEvent {
  readonly kind: 'removed'
  readonly hashes: readonly EngineHash[]
  readonly medium: string | null
  readonly group: number
}

export type KvEvent = StoredEvent | RemovedEvent | { readonly kind: 'cleared' }

export interface KvEventBatch {
  readonly events: readonly KvEvent[]
  /** Events that were left out: unknown tags, bad fields. */
  readonly skipped: number
  /** A removal or a clearing was among what was left out: what is known may be wrong. */
  readonly isLossy: boolean
  /** Data-parallel rank of the engine core that speaks, or null when it does not say. */
  readonly rank: number | null
  /** When the engine made the batch, in ms since 1970 by its own clock, or null when it does not say. */
  readonly madeMs: number | null
}

/** Hashes as pairs of signed words, low word first, from pair `hashFrom` on. */
export interface HashRun {
  readonly hashes: Int32Array
  readonly hashFrom: number
  readonly hashCount: number
}

export interface StoredRun extends HashRun {
  readonly tokens: Int32Array
  readonly tokenFrom: number
  readonly tokenCount: number
  readonly hasParent: boolean
  readonly parentLo: number
  readonly parentHi: number
  readonly blockTokens: number
  readonly lora: string | null
  readonly salt: string | null
  readonly extraKeys: readonly unknown[]
  readonly medium: string | null
  readonly group: number
  readonly groupKind: string | null
  readonly windowTokens: number | null
}

export interface RemovedRun extends HashRun {
  readonly medium: string | null
  readonly group: number
}

export function hashOf(lo: number, hi: number): EngineHash {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
}
