/** KV event frames as a full engine sends them: runs of 64 blocks of 16 tokens, and evictions of one hash each. */
import { encode } from '@msgpack/msgpack'

export const FRAME_BLOCKS = 64
const BLOCK_TOKENS = 16
const VOCABULARY = 150_000

export interface EventFrames {
  readonly stores: readonly Uint8Array[]
  /** What evicts the blocks of the frame with the same number, last block first. */
  readonly removals: readonly Uint8Array[]
}

/** Each frame starts a prompt, or all of them are one chain. */
export function frames(count: number, seed: number, isChain = false): EventFrames {
  const random = randomOf(seed)
  const stores: Uint8Array[] = []
  const removals: Uint8Array[] = []
  let parent: bigint | null = null
  for (let i = 0; i < count; i++) {
    const hashes = Array.from({ length: FRAME_BLOCKS }, () => (BigInt(random()) << 32n) | BigInt(random()))
    const event = {
      type: 'BlockStored',
      block_hashes: hashes,
      parent_block_hash: parent,
      token_ids: Array.from({ length: FRAME_BLOCKS * BLOCK_TOKENS }, () => random() % VOCABULARY),
      block_size: BLOCK_TOKENS,
      lora_id: null,
      medium: 'GPU',
      lora_name: null,
      extra_keys: hashes.map(() => null),
      group_idx: 0,
      kv_cache_spec_kind: 'full_attention',
    }
    if (isChain) parent = hashes.at(-1) ?? null
    stores.push(frame([event]))
    removals.push(
      frame(
        hashes
          .toReversed()
          .map((hash) => ({ type: 'BlockRemoved', block_hashes: [hash], medium: 'GPU', group_idx: 0 })),
      ),
    )
  }
  return { stores, removals }
}

function frame(events: readonly unknown[]): Uint8Array {
  return encode([1.5, events, 0], { useBigInt64: true })
}

/** Numbers below 2^32 (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }
}
