import { encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeBatch } from '../../../cluster-agent/events/decode-batch.ts'
import { parseLiveFrames, parseReplayFrames } from '../../../cluster-agent/events/frames.ts'

const batch = (events: unknown) => encode([1.5, events, 0], { useBigInt64: true })

test('unknown tags, fields and trailing elements do not fail a batch', () => {
  const decoded = decodeBatch(
    batch([
      { type: 'BlockInactive', block_hashes: [1] },
      {
        type: 'BlockStored',
        block_hashes: [1, 0xffffffffffffffffn],
        parent_block_hash: null,
        token_ids: [1, 2],
        block_size: 1,
        novelty: { deep: [1] },
      },
      ['BlockRemoved', [7], 'GPU', 0, 'more', 3],
      ['BlockStored', [1], null, [5], 1],
      'nonsense',
      null,
    ]),
  )
  expect(decoded?.skipped).toBe(3)
  expect(decoded?.events.map((event) => event.kind)).toEqual(['stored', 'removed', 'stored'])
  expect(decoded?.events[0]).toMatchObject({
    hashes: [1n, 0xffffffffffffffffn],
    medium: null,
    lora: null,
    group: 0,
  })
})

test('the outer batch may be a map', () => {
  expect(decodeBatch(encode({ ts: 1, events: [{ type: 'AllBlocksCleared' }] }))?.events).toEqual([
    { kind: 'cleared' },
  ])
})

test('bad fields skip their event only', () => {
  const bad = [
    { type: 'BlockStored', block_hashes: 'x', token_ids: [], block_size: 1 },
    { type: 'BlockStored', block_hashes: [1.5], token_ids: [], block_size: 1 },
    { type: 'BlockStored', block_hashes: [1], token_ids: ['a'], block_size: 1 },
    { type: 'BlockStored', block_hashes: [1], token_ids: [1], block_size: -1 },
    { type: 'BlockRemoved', block_hashes: [new Uint8Array(3)] },
  ]
  expect(decodeBatch(batch([...bad, { type: 'AllBlocksCleared' }]))).toMatchObject({
    skipped: bad.length,
    events: [{ kind: 'cleared' }],
  })
})

test('garbage is no batch and no exception', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const decoded = decodeBatch(bytes)
      expect(decoded === null || Array.isArray(decoded.events)).toBe(true)
    }),
    { numRuns: 5000 },
  )
  fc.assert(
    fc.property(fc.anything(), (value) => {
      let bytes: Uint8Array
      try {
        bytes = encode([0, value, 0])
      } catch {
        return
      }
      const decoded = decodeBatch(bytes)
      expect(decoded === null || decoded.skipped >= 0).toBe(true)
    }),
    { numRuns: 5000 },
  )
})

test('frames that are none are refused', () => {
  const seq = new Uint8Array(8)
  expect(parseLiveFrames([seq, seq])).toBeNull()
  expect(parseLiveFrames([seq, new Uint8Array(7), seq])).toBeNull()
  expect(parseLiveFrames([seq, new Uint8Array(8).fill(0xff), seq])).toBeNull()
  expect(parseReplayFrames([])).toBeNull()
  expect(parseReplayFrames([seq, seq, seq])).toBeNull()
  expect(parseReplayFrames([new Uint8Array(), new Uint8Array(8).fill(0xff), Uint8Array.of(1)])).toBeNull()
})
