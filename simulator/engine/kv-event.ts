/** KV events as the engine means them, before either wire encoding (`wire/kv-batch.ts`). */

/** A run of blocks became resident on the GPU. */
export interface StoredEvent {
  readonly kind: 'stored'
  readonly hashes: readonly bigint[]
  /** The hash of the block before the run, or null when the run starts a prompt. */
  readonly parent: bigint | null
  readonly tokens: Uint32Array
  readonly blockTokens: number
  /** The extra key of block 0: the request's cache salt. */
  readonly salt: string | null
  readonly sessionId: string | null
}

/** A copy of one block went. */
export interface RemovedEvent {
  readonly kind: 'removed'
  readonly hash: bigint
  readonly medium: 'GPU' | 'CPU'
}

/** A copy of one block lies in DRAM: the OffloadingConnector's placeholder, which carries nothing but the hash. */
export interface OffloadedEvent {
  readonly kind: 'offloaded'
  readonly hash: bigint
}

/** The prefix cache of the GPU was reset. */
export interface ClearedEvent {
  readonly kind: 'cleared'
}

export type KvEvent = StoredEvent | RemovedEvent | OffloadedEvent | ClearedEvent
