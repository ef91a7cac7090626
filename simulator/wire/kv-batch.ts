/**
 * KV events as msgpack: a batch `[ts, events, data_parallel_rank]` whose events are maps with a `type` (0.24 and later)
 * or positional arrays of 12, 4 and 1 elements (up to 0.23). Hashes are unsigned 64-bit integers.
 */
import { Encoder } from '@msgpack/msgpack'
import type { KvEvent, StoredEvent } from '../engine/kv-event.ts'
import { isCurrent, type EngineVersion } from './engine-version.ts'

const GROUP = 0
const SPEC_KIND = 'full_attention'
const RANK = 0
const UINT32_END = 0x1_0000_0000n
const encoder = new Encoder({ useBigInt64: true, ignoreUndefined: true })

/** One payload frame. `timestampS` is Unix time in seconds. */
export function encodeBatch(
  events: readonly KvEvent[],
  timestampS: number,
  version: EngineVersion,
): Uint8Array {
  // msgspec writes a float always; this encoder writes a whole number as an integer.
  const ts = Number.isInteger(timestampS) ? timestampS + 1e-6 : timestampS
  const body = isCurrent(version) ? events.map(eventMap) : events.map(eventArray)
  return encoder.encode([ts, body, RANK])
}

function eventMap(event: KvEvent): object {
  switch (event.kind) {
    case 'stored':
      return {
        type: 'BlockStored',
        block_hashes: event.hashes.map(wireHash),
        parent_block_hash: event.parent === null ? null : wireHash(event.parent),
        token_ids: Array.from(event.tokens),
        block_size: event.blockTokens,
        lora_id: null,
        medium: 'GPU',
        lora_name: null,
        extra_keys: extraKeys(event),
        group_idx: GROUP,
        kv_cache_spec_kind: SPEC_KIND,
        session_id: event.sessionId ?? undefined,
      }
    case 'offloaded':
      return {
        type: 'BlockStored',
        block_hashes: [wireHash(event.hash)],
        parent_block_hash: null,
        token_ids: [],
        block_size: 0,
        lora_id: null,
        medium: 'CPU',
        lora_name: null,
        group_idx: GROUP,
      }
    case 'removed':
      return {
        type: 'BlockRemoved',
        block_hashes: [wireHash(event.hash)],
        medium: event.medium,
        group_idx: GROUP,
      }
    case 'cleared':
      return { type: 'AllBlocksCleared' }
  }
}

function eventArray(event: KvEvent): unknown[] {
  switch (event.kind) {
    case 'stored':
      return [
        'BlockStored',
        event.hashes.map(wireHash),
        event.parent === null ? null : wireHash(event.parent),
        Array.from(event.tokens),
        event.blockTokens,
        null,
        'GPU',
        null,
        extraKeys(event),
        GROUP,
        SPEC_KIND,
        null,
      ]
    case 'offloaded':
      return ['BlockStored', [wireHash(event.hash)], null, [], 0, null, 'CPU', null, null, GROUP, null, null]
    case 'removed':
      return ['BlockRemoved', [wireHash(event.hash)], event.medium, GROUP]
    case 'cleared':
      return ['AllBlocksCleared']
  }
}

/** One entry for each hash; the salt belongs to the first block of a prompt. */
function extraKeys(event: StoredEvent): ([string] | null)[] {
  return event.hashes.map((_, i) =>
    i === 0 && event.parent === null && event.salt !== null ? [event.salt] : null,
  )
}

/** Integers have minimal width on the wire; this encoder gives every bigint eight bytes. */
function wireHash(hash: bigint): bigint | number {
  return hash < UINT32_END ? Number(hash) : hash
}
