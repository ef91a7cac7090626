import { encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BatchDecoder } from '../../../cluster-agent/events/batch-decoder.ts'
import { PAYLOAD_BYTES_MAX } from '../../../cluster-agent/events/decode-batch.ts'
import { EventBatch, readEvent } from '../../../cluster-agent/events/event-batch.ts'
import { parseLiveFrames } from '../../../cluster-agent/events/frames.ts'
import { decodersDiffer, eventBytes } from '../../support/kv-event-bytes.ts'
import { eventSteps, readEvents, RECORDED_VERSIONS } from '../../support/recorded.ts'

const golden = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'))

describe.each(RECORDED_VERSIONS)('%s', (version) => {
  test('every recorded frame is decoded by hand, as the general decoder does', () => {
    const decoder = new BatchDecoder()
    let frames = 0
    for (const step of eventSteps(version)) {
      for (const { frames: wire } of readEvents(version, step)) {
        const { payload } = parseLiveFrames(wire)!
        expect(decodersDiffer(payload)).toBeNull()
        expect(decoder.decode(payload)?.count).toBeGreaterThan(0)
        frames++
      }
    }
    expect(frames).toBeGreaterThan(25)
    expect(decoder.unusual).toBe(0)
  })
})

test('both decoders say the same of ten thousand random payloads, and neither throws', () => {
  fc.assert(
    fc.property(eventBytes, (bytes) => {
      expect(decodersDiffer(bytes)).toBeNull()
    }),
    { numRuns: 10_000 },
  )
})

test("vLLM's own bytes, of both encodings", () => {
  const decoder = new BatchDecoder()
  for (const hex of [
    '93cb3ff80000000000009181a474797065b0416c6c426c6f636b73436c656172656400',
    '93cb3ff80000000000009191b0416c6c426c6f636b73436c656172656400',
  ]) {
    const batch = decoder.decode(golden(hex))!
    expect(batch.count).toBe(1)
    expect(readEvent(batch.event(0))).toEqual({ kind: 'cleared' })
    expect(batch.rank).toBe(0)
  }
  const removed = `9184a474797065ac426c6f636b52656d6f766564ac626c6f636b5f68617368657391c420${'ab'.repeat(32)}a66d656469756da3475055a967726f75705f69647800`
  const batch = decoder.decode(golden(`93cb3ff8000000000000${removed}00`))!
  expect(readEvent(batch.event(0))).toEqual({
    kind: 'removed',
    hashes: [0xabababababababn | (0xabn << 56n)],
    medium: 'GPU',
    group: 0,
  })
})

test("SGLang's dialect: pairs as tokens, signed hashes, salts in a field or at the end of a positional event", () => {
  const decoder = new BatchDecoder()
  const decode = (events: unknown[]) => {
    const batch = decoder.decode(encode([1.5, events, 0], { useBigInt64: true }))!
    return Array.from({ length: batch.count }, (_, i) => readEvent(batch.event(i)))
  }
  const [paged, salted, tagged, removed] = decode([
    [
      'BlockStored',
      [-2n],
      null,
      [
        [1, 2],
        [2, 3],
      ],
      2,
      null,
    ],
    ['BlockStored', [5], null, [1, 2], 2, null, 'GPU', { cache_salt: 'tenant' }],
    {
      type: 'BlockStored',
      block_hashes: [6, 7],
      parent_block_hash: null,
      token_ids: [1, 2, 3, 4],
      block_size: 2,
      lora_id: null,
      medium: 'CPU_PINNED',
      extra_keys: [['t'], null],
      cache_salt: 't',
    },
    ['BlockRemoved', [5, 6, 7], 'CPU_PINNED'],
  ])
  expect(paged).toMatchObject({ hashes: [0xfffffffffffffffen], tokens: [1, 2], blockTokens: 2, medium: null })
  expect(salted).toMatchObject({ salt: 'tenant', lora: null, medium: 'GPU' })
  expect(tagged).toMatchObject({ salt: 't', hashes: [6n, 7n], medium: 'CPU_PINNED' })
  expect(removed).toMatchObject({ kind: 'removed', hashes: [5n, 6n, 7n] })
})

test("llm-d's simulator: short positional events with parent 0", () => {
  const batch = new BatchDecoder().decode(
    encode([1.5, [['BlockStored', [9], 0, [1, 2], 2, null, 'GPU']], 0]),
  )!
  expect(readEvent(batch.event(0))).toMatchObject({ hashes: [9n], parent: 0n, tokens: [1, 2], group: 0 })
})

test('lengths that promise more than there is ask for no memory', () => {
  const decoder = new BatchDecoder()
  // An array, a map, a text and a digest of 2^32 - 1 elements each.
  for (const header of ['dd', 'df', 'db', 'c6'])
    for (const place of [
      '',
      '93c0',
      '93c091',
      '93c09182a474797065ab426c6f636b53746f726564ac626c6f636b5f686173686573',
    ])
      expect(decoder.decode(golden(`${place}${header}ffffffff00`))).toBeNull()
  expect(decoder.decode(new Uint8Array(PAYLOAD_BYTES_MAX + 1))).toBeNull()
  // Arrays in arrays, a million deep.
  expect(decoder.decode(new Uint8Array(1_000_000).fill(0x91))).toBeNull()
})

test('a removal that cannot be read makes the batch lossy, a store does not', () => {
  const decode = (event: unknown) => new BatchDecoder().decode(encode([1.5, [event], 0]))!
  expect(decode({ type: 'BlockStored', block_hashes: 'x' })).toMatchObject({ skipped: 1, isLossy: false })
  expect(decode({ type: 'BlockRemoved', block_hashes: 'x' })).toMatchObject({ skipped: 1, isLossy: true })
  expect(decode(['BlockRemoved'])).toMatchObject({ skipped: 1, isLossy: true })
  expect(decode({ type: 'BlockHidden', block_hashes: [1] })).toMatchObject({ skipped: 1, isLossy: false })
})

test('a batch keeps no more than its bound for the next one', () => {
  const batch = new EventBatch()
  const tokens = Array.from({ length: 600_000 }, (_, i) => i)
  const event = {
    kind: 'stored' as const,
    hashes: [1n],
    parent: null,
    tokens,
    blockTokens: 600_000,
    lora: null,
    extraKeys: [],
    medium: null,
    group: 0,
    groupKind: null,
  }
  expect(batch.push(event)).toBe(true)
  expect(batch.tokens.length).toBeGreaterThanOrEqual(600_000)
  batch.clear()
  expect(batch.tokens.length).toBeLessThan(600_000)
  expect(batch.push({ ...event, tokens: { length: 5_000_000 } as number[] })).toBe(false)
})

test('evictions one by one are read as the general decoder does, wherever one differs or the payload ends', () => {
  const hash = fc.oneof(
    { weight: 6, arbitrary: fc.bigInt({ min: 2n ** 63n, max: 2n ** 64n - 1n }) },
    fc.constantFrom<bigint | number | Uint8Array>(
      7,
      -5n,
      new Uint8Array(32).fill(9),
      new Uint8Array(20).fill(3),
    ),
  )
  const eviction = fc.record({
    hashes: fc.oneof(
      { weight: 4, arbitrary: fc.tuple(hash) },
      fc.array(hash, { minLength: 2, maxLength: 2 }),
    ),
    medium: fc.constantFrom('GPU', 'GPU', 'GPU', 'CPU'),
    group: fc.constantFrom(0, 0, 0, 1),
  })
  const runs = fc.array(fc.tuple(eviction, fc.integer({ min: 1, max: 6 })), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(runs, fc.boolean(), fc.nat(40), (pieces, isMap, cut) => {
      const events = pieces.flatMap(([{ hashes, medium, group }, times]) =>
        Array.from({ length: times }, (_, i) => {
          const mine = hashes.map((one) => (typeof one === 'bigint' && one > 0n ? one ^ BigInt(i) : one))
          return isMap
            ? { type: 'BlockRemoved', block_hashes: mine, medium, group_idx: group }
            : ['BlockRemoved', mine, medium, group]
        }),
      )
      const bytes = encode([1.5, events, 0], { useBigInt64: true })
      expect(decodersDiffer(bytes)).toBeNull()
      expect(decodersDiffer(bytes.subarray(0, Math.max(bytes.length - cut, 0)))).toBeNull()
    }),
    { numRuns: 2000 },
  )
})
