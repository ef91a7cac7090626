/**
 * The payload of a KV event message, in both encodings: events as tagged maps (vLLM from 0.24 on, SGLang) and as positional
 * arrays (before). The batch is `[timestamp, events, rank]`; a map is taken too. Unknown tags, fields and trailing elements
 * do not fail a batch. This is the reference; batch-decoder.ts does the same for the usual shapes, faster.
 */
import { decode } from '@msgpack/msgpack'
import { EVENTS_MAX, HASHES_MAX, TOKENS_MAX } from './event-batch.ts'
import type { EngineHash, KvEvent, KvEventBatch } from './kv-event.ts'
import { saltField, tokenOf } from './sglang.ts'

/** A step of 128 prompts of 16,000 tokens fits; a longer one is taken for garbage. */
export const PAYLOAD_BYTES_MAX = 16 * 1024 * 1024
const TOKEN_MAX = 2 ** 31 - 1

const STORED_FIELDS = [
  'block_hashes',
  'parent_block_hash',
  'token_ids',
  'block_size',
  'lora_id',
  'medium',
  'lora_name',
  'extra_keys',
  'group_idx',
  'kv_cache_spec_kind',
  'kv_cache_spec_sliding_window',
] as const
const REMOVED_FIELDS = ['block_hashes', 'medium', 'group_idx'] as const
/** Without one of these read, something may be believed that is gone. */
const LOSING_TAGS = new Set<unknown>(['BlockRemoved', 'AllBlocksCleared'])

/** The year 10889: no clock says more. */
const SECONDS_MAX = 2 ** 48 / 1000

type Fields = Readonly<Record<string, unknown>>

/** null when the payload is no batch at all. */
export function decodeBatch(payload: Uint8Array): KvEventBatch | null {
  const batch = decodeBounded(payload)
  const events = Array.isArray(batch) ? batch[1] : isFields(batch) ? batch['events'] : null
  if (!Array.isArray(events) || events.length > EVENTS_MAX) return null
  const decoded: KvEvent[] = []
  let isLossy = false
  for (const event of events) {
    const neutral = toEvent(event)
    if (neutral !== null) decoded.push(neutral)
    else isLossy ||= LOSING_TAGS.has(tagOf(event))
  }
  const rank: unknown = Array.isArray(batch) ? batch[2] : (batch as Fields)['data_parallel_rank']
  const madeS: unknown = Array.isArray(batch) ? batch[0] : (batch as Fields)['ts']
  const skipped = events.length - decoded.length
  return { events: decoded, skipped, isLossy, rank: toNumber(rank), madeMs: millisecondsOf(madeS) }
}

/** A time of the engine's clock in seconds, as it is on the wire; null for anything else. */
export function millisecondsOf(seconds: unknown): number | null {
  return typeof seconds === 'number' && seconds >= 0 && seconds < SECONDS_MAX ? seconds * 1000 : null
}

/** Any value, or undefined. No length in it may exceed what follows: a header of five bytes would ask for gigabytes. */
export function decodeBounded(payload: Uint8Array): unknown {
  const { length } = payload
  if (length > PAYLOAD_BYTES_MAX) return undefined
  try {
    return decode(payload, {
      useBigInt64: true,
      maxArrayLength: length,
      maxMapLength: length,
      maxStrLength: length,
      maxBinLength: length,
      maxExtLength: length,
    })
  } catch {
    return undefined
  }
}

function tagOf(event: unknown): unknown {
  return Array.isArray(event) ? event[0] : isFields(event) ? event['type'] : null
}

function toEvent(event: unknown): KvEvent | null {
  const tag = tagOf(event)
  if (tag === 'AllBlocksCleared') return { kind: 'cleared' }
  if (tag === 'BlockStored') return toStored(fieldsOf(event, STORED_FIELDS))
  if (tag === 'BlockRemoved') return toRemoved(fieldsOf(event, REMOVED_FIELDS))
  return null
}

function toStored(fields: Fields): KvEvent | null {
  const hashes = toHashes(fields['block_hashes'])
  const parent = fields['parent_block_hash'] ?? null
  const parentHash = parent === null ? null : toHash(parent)
  const tokens = toTokens(fields['token_ids'] ?? [])
  const blockTokens = toNumber(fields['block_size'] ?? 0)
  const group = toNumber(fields['group_idx'] ?? 0)
  if (hashes === null || (parent !== null && parentHash === null) || tokens === null) return null
  if (blockTokens === null || group === null) return null
  return {
    kind: 'stored',
    hashes,
    parent: parentHash,
    tokens,
    blockTokens,
    lora: toText(fields['lora_name']),
    salt: saltField(fields),
    extraKeys: Array.isArray(fields['extra_keys']) ? fields['extra_keys'] : [],
    medium: toText(fields['medium']),
    group,
    groupKind: toText(fields['kv_cache_spec_kind']),
    windowTokens: toNumber(fields['kv_cache_spec_sliding_window']),
  }
}

function toRemoved(fields: Fields): KvEvent | null {
  const hashes = toHashes(fields['block_hashes'])
  const group = toNumber(fields['group_idx'] ?? 0)
  if (hashes === null || group === null) return null
  return { kind: 'removed', hashes, medium: toText(fields['medium']), group }
}

/** Names the elements of a positional event; a map is its own names. */
function fieldsOf(event: unknown, names: readonly string[]): Fields {
  if (!Array.isArray(event)) return isFields(event) ? event : {}
  return Object.fromEntries(names.map((name, index) => [name, event[index + 1] as unknown]))
}

function toHashes(value: unknown): EngineHash[] | null {
  if (!Array.isArray(value) || value.length > HASHES_MAX) return null
  const hashes: EngineHash[] = []
  for (const item of value) {
    const hash = toHash(item)
    if (hash === null) return null
    hashes.push(hash)
  }
  return hashes
}

/** An integer of any width, or a digest, of which the last 8 bytes count as vLLM's own integers do. */
function toHash(value: unknown): EngineHash | null {
  if (typeof value === 'bigint') return BigInt.asUintN(64, value)
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt.asUintN(64, BigInt(value)) : null
  if (!(value instanceof Uint8Array) || value.length < 8) return null
  return new DataView(value.buffer, value.byteOffset, value.byteLength).getBigUint64(value.length - 8)
}

function toTokens(value: unknown): number[] | null {
  if (!Array.isArray(value) || value.length > TOKENS_MAX) return null
  const tokens: number[] = []
  for (const item of value) {
    const token = toNumber(tokenOf(item))
    if (token === null || token > TOKEN_MAX) return null
    tokens.push(token)
  }
  return tokens
}

function toNumber(value: unknown): number | null {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : null
}

function toText(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

function isFields(value: unknown): value is Fields {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
  )
}
