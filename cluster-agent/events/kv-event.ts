/** What an engine says about its KV cache, without the words of any engine's wire. */

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
  readonly medium: string | null
  readonly group: number
  /** The attention kind of the group, or null from engines that do not say. */
  readonly groupKind: string | null
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
}
