/**
 * The payload of a KV event message of vLLM, in both encodings: events as tagged maps (0.24 and later) and as positional
 * arrays (before). The batch is `[timestamp, events, rank]`; a map is taken too. Unknown tags, fields and trailing
 * elements do not fail a batch.
 */
import { decode } from '@msgpack/msgpack'
import type { EngineHash, KvEvent, KvEventBatch } from './kv-event.ts'

/** vLLM publishes one batch an engine step; these are far above what a step can fill. */
export const PAYLOAD_BYTES_MAX = 64 * 1024 * 1024
export const EVENTS_MAX = 100_000
export const HASHES_MAX = 100_000

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
] as const
const REMOVED_FIELDS = ['block_hashes', 'medium', 'group_idx'] as const

type Fields = Readonly<Record<string, unknown>>

/** null when the payload is no batch at all. */
export function decodeBatch(payload: Uint8Array): KvEventBatch | null {
  if (payload.length > PAYLOAD_BYTES_MAX) return null
  let batch: unknown
  try {
    batch = decode(payload, { useBigInt64: true })
  } catch {
    return null
  }
  const events = Array.isArray(batch) ? batch[1] : isFields(batch) ? batch['events'] : null
  if (!Array.isArray(events) || events.length > EVENTS_MAX) return null
  const decoded: KvEvent[] = []
  for (const event of events) {
    const neutral = toEvent(event)
    if (neutral !== null) decoded.push(neutral)
  }
  return { events: decoded, skipped: events.length - decoded.length }
}

function toEvent(event: unknown): KvEvent | null {
  const tag: unknown = Array.isArray(event) ? event[0] : isFields(event) ? event['type'] : null
  if (tag === 'AllBlocksCleared') return { kind: 'cleared' }
  if (tag === 'BlockStored') return toStored(fieldsOf(event, STORED_FIELDS))
  if (tag === 'BlockRemoved') return toRemoved(fieldsOf(event, REMOVED_FIELDS))
  return null
}

function toStored(fields: Fields): KvEvent | null {
  const hashes = toHashes(fields['block_hashes'])
  const parent = fields['parent_block_hash'] ?? null
  const parentHash = parent === null ? null : toHash(parent)
  const tokens = fields['token_ids'] ?? []
  const blockTokens = toNumber(fields['block_size'])
  const group = toNumber(fields['group_idx'] ?? 0)
  if (hashes === null || (parent !== null && parentHash === null) || !isTokens(tokens)) return null
  if (blockTokens === null || group === null) return null
  return {
    kind: 'stored',
    hashes,
    parent: parentHash,
    tokens,
    blockTokens,
    lora: toText(fields['lora_name']),
    extraKeys: Array.isArray(fields['extra_keys']) ? fields['extra_keys'] : [],
    medium: toText(fields['medium']),
    group,
    groupKind: toText(fields['kv_cache_spec_kind']),
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

function isTokens(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((token) => typeof token === 'number' && Number.isInteger(token))
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
