/**
 * Random KV event payloads for fuzzing: well-formed in either encoding and any integer width, with fields left out, doubled
 * or of a wrong type, then bytes changed, cut off or added. And the property that all of them must keep.
 */
import { Encoder } from '@msgpack/msgpack'
import fc from 'fast-check'
import { BatchDecoder } from '../../cluster-agent/events/batch-decoder.ts'
import { decodeBatch } from '../../cluster-agent/events/decode-batch.ts'
import { readEvent } from '../../cluster-agent/events/event-batch.ts'
import type { KvEvent } from '../../cluster-agent/events/kv-event.ts'

const encoder = new Encoder({ useBigInt64: true, ignoreUndefined: true })
const encode = (value: unknown) => encoder.encode(value)

const hash = fc.oneof(
  fc.bigInt({ min: 0n, max: 0xffffffffffffffffn }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.nat(),
  fc.uint8Array({ minLength: 8, maxLength: 40 }),
)
const token = fc.oneof(fc.nat(200_000), fc.nat(120), fc.integer({ min: 0, max: 2 ** 31 - 1 }))
const odd = fc.oneof(
  fc.constantFrom<unknown>(null, true, -1, 1.5, 2 ** 40, '', 'x'.repeat(40), [], {}, [[1]], { a: 1 }),
  fc.string(),
  fc.uint8Array({ maxLength: 12 }),
)
/** Mostly `usual`. */
const mostly = <T>(usual: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 300, arbitrary: usual as fc.Arbitrary<unknown> }, { weight: 1, arbitrary: odd })
const extra = fc.oneof(
  fc.constant(null),
  fc.array(fc.oneof(fc.string({ maxLength: 8 }), fc.tuple(fc.string({ maxLength: 4 }), fc.nat(9))), {
    maxLength: 3,
  }),
)

const stored = fc.record({
  type: fc.constant('BlockStored'),
  block_hashes: mostly(fc.array(hash, { maxLength: 6 })),
  parent_block_hash: mostly(fc.option(hash)),
  token_ids: mostly(
    fc.oneof(fc.array(token, { maxLength: 24 }), fc.array(fc.tuple(token, token), { maxLength: 6 })),
  ),
  block_size: mostly(fc.nat(64)),
  lora_id: mostly(fc.option(fc.nat(5))),
  medium: mostly(fc.constantFrom('GPU', 'CPU', 'CPU_PINNED', 'STORAGE', null)),
  lora_name: mostly(fc.constantFrom(null, 'adapter-a', 'b')),
  extra_keys: mostly(
    fc.oneof(
      fc.constant(null),
      fc.array(fc.constant(null), { maxLength: 6 }),
      fc.array(extra, { maxLength: 6 }),
    ),
  ),
  group_idx: mostly(fc.constantFrom(0, 1, null)),
  kv_cache_spec_kind: mostly(fc.constantFrom('full_attention', 'sliding_window', null)),
  kv_cache_spec_sliding_window: mostly(fc.constantFrom(null, 1024)),
})
const removed = fc.record({
  type: fc.constant('BlockRemoved'),
  block_hashes: mostly(fc.array(hash, { maxLength: 3 })),
  medium: mostly(fc.constantFrom('GPU', 'CPU', null)),
  group_idx: mostly(fc.constantFrom(0, 1, null)),
})
const unknown = fc.constantFrom<Record<string, unknown>>(
  { type: 'AllBlocksCleared' },
  { type: 'BlockInactive', block_hashes: [1] },
  { type: 7 },
  {},
)
const more = fc.constantFrom<Record<string, unknown>>(
  {},
  {},
  {},
  { session_id: 'abc', locality: 'LOCAL' },
  { cache_salt: 'tenant' },
  { lookahead_token_ids: [[1, 2], [3]], novelty: { deep: 1 } },
)

const event = fc
  .tuple(
    fc.oneof(
      { weight: 5, arbitrary: stored },
      { weight: 4, arbitrary: removed },
      { weight: 1, arbitrary: unknown },
    ),
    more,
    fc.boolean(),
    fc.nat(12),
  )
  .map(([fields, additions, isMap, kept]) => {
    const all: Record<string, unknown> = { ...fields, ...additions }
    if (!isMap) return Object.values(all).slice(0, Math.max(kept, 1))
    // Now and then a field is left out.
    if (kept === 0) delete all[Object.keys(all).at(-1) ?? '']
    return all
  })

const payload = fc
  .tuple(fc.array(event, { maxLength: 5 }), fc.constantFrom(0, 1, 200, null), fc.nat(20), fc.nat(20))
  .map(([events, rank, shape, odd]) => {
    if (shape === 0) return encode({ ts: 1.5, events, data_parallel_rank: rank })
    if (shape === 1) return encode([1.5, events])
    if (shape === 2) return encode([1.5, events, rank, 'more', [1]])
    return encode([odd === 0 ? null : 1.5, events, rank])
  })

/** What happens to bytes on a bad day. */
const damage = fc.oneof(
  { weight: 15, arbitrary: fc.constant((bytes: Uint8Array) => bytes) },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.nat(), fc.nat(255)).map(([at, value]) => (bytes: Uint8Array) => {
      const copy = bytes.slice()
      if (copy.length > 0) copy[at % copy.length] = value
      return copy
    }),
  },
  {
    weight: 1,
    arbitrary: fc.nat().map((end) => (bytes: Uint8Array) => bytes.slice(0, end % (bytes.length + 1))),
  },
  {
    weight: 1,
    arbitrary: fc
      .uint8Array({ maxLength: 9 })
      .map((tail) => (bytes: Uint8Array) => Uint8Array.of(...bytes, ...tail)),
  },
)

export const eventBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(payload, damage).map(([bytes, hurt]) => hurt(bytes)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
)

/** Plain text has a nil for each block, which says as little as none. */
const plain = (event: KvEvent): KvEvent =>
  event.kind === 'stored' && event.extraKeys.every((keys) => keys === null)
    ? { ...event, extraKeys: [] }
    : event

const decoder = new BatchDecoder()

/** null, or how the two decoders differ about `bytes`. */
export function decodersDiffer(bytes: Uint8Array): { quick: unknown; general: unknown } | null {
  const batch = decoder.decode(bytes)
  const quick = batch && {
    events: Array.from({ length: batch.count }, (_, i) => plain(readEvent(batch.event(i)))),
    skipped: batch.skipped,
    isLossy: batch.isLossy,
    rank: batch.rank,
    madeMs: batch.madeMs,
  }
  const decoded = decodeBatch(bytes)
  const general = decoded && { ...decoded, events: decoded.events.map(plain) }
  return serialise(quick) === serialise(general) ? null : { quick, general }
}

function serialise(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? `${item}n` : item))
}

/** How many payloads the quick decoder had to hand over. */
export const unusualCount = () => decoder.unusual
