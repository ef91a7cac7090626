import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { KvEvent } from '../../../simulator/engine/kv-event.ts'
import type { EngineVersion } from '../../../simulator/wire/engine-version.ts'
import { encodeBatch } from '../../../simulator/wire/kv-batch.ts'
import { replayEndFrames, replayFrames, replayStart, seqFrame } from '../../../simulator/wire/kv-frames.ts'
import { batches, eventLines, type AnyJson } from '../fixtures.ts'

const VERSIONS = ['0.32.0', '0.23.0'] as const
const hex = (frame: Uint8Array | string): string => Buffer.from(frame).toString('hex')

function stepsOf(version: EngineVersion): string[] {
  const folder = fileURLToPath(new URL(`../../fixtures/vllm/v${version}`, import.meta.url))
  return (
    readdirSync(folder)
      // `closed` publishes raw digests instead of integers.
      .filter((file) => file.startsWith('events-') && !/replay|closed/.test(file))
      .map((file) => file.slice('events-'.length, -'.jsonl'.length))
  )
}

/** A recorded event as the simulator would mean it; null for adapters, which it does not serve. */
function meaning(event: AnyJson): KvEvent | null {
  const hash = (value: AnyJson): bigint => BigInt(value?.u64 ?? value)
  const fields = Array.isArray(event)
    ? {
        type: event[0],
        block_hashes: event[1],
        parent_block_hash: event[2],
        token_ids: event[3],
        block_size: event[4],
        lora_name: event[0] === 'BlockStored' ? event[7] : null,
        extra_keys: event[8],
      }
    : event
  if (fields.type === 'AllBlocksCleared') return { kind: 'cleared' }
  if (fields.type === 'BlockRemoved')
    return { kind: 'removed', hash: hash(fields.block_hashes[0]), medium: 'GPU' }
  if (fields.lora_name !== null) return null
  return {
    kind: 'stored',
    hashes: fields.block_hashes.map(hash),
    parent: fields.parent_block_hash === null ? null : hash(fields.parent_block_hash),
    tokens: Uint32Array.from(fields.token_ids),
    blockTokens: fields.block_size,
    salt: fields.extra_keys[0]?.[0] ?? null,
    sessionId: fields.session_id ?? null,
  }
}

test.each(VERSIONS)('every recorded batch of %s comes out byte by byte', (version) => {
  let compared = 0
  for (const step of stepsOf(version)) {
    for (const { frames, payload } of batches(version, step)) {
      const [timestampS, events, rank] = payload
      const meanings = events.map(meaning)
      // Rank 1 of a data-parallel engine is another stream; the simulator has one rank.
      if (rank !== 0 || meanings.includes(null)) continue
      expect(hex(encodeBatch(meanings as KvEvent[], timestampS, version))).toBe(frames[2])
      compared++
    }
  }
  expect(compared).toBeGreaterThan(30)
})

test('a whole second is a float on the wire, as msgspec writes it', () => {
  const payload = encodeBatch([{ kind: 'cleared' }], 1.5, '0.32.0')
  expect(hex(payload)).toBe('93cb3ff80000000000009181a474797065b0416c6c426c6f636b73436c656172656400')
  expect(encodeBatch([{ kind: 'cleared' }], 2, '0.32.0')[1]).toBe(0xcb)
})

test('a small hash has minimal width', () => {
  const small = encodeBatch([{ kind: 'removed', hash: 5n, medium: 'GPU' }], 1.5, '0.23.0')
  expect(hex(small)).toBe('93cb3ff80000000000009194ac426c6f636b52656d6f7665649105a34750550000')
})

test('an offloaded block is the placeholder of the OffloadingConnector in both encodings', async () => {
  const { decode } = await import('@msgpack/msgpack')
  const [current, legacy] = VERSIONS.map((version) => {
    const [, events] = decode(encodeBatch([{ kind: 'offloaded', hash: 7n }], 1.5, version)) as [
      number,
      unknown[],
    ]
    return events[0]
  })
  expect(current).toEqual({
    type: 'BlockStored',
    block_hashes: [7],
    parent_block_hash: null,
    token_ids: [],
    block_size: 0,
    lora_id: null,
    medium: 'CPU',
    lora_name: null,
    group_idx: 0,
  })
  expect(legacy).toEqual(['BlockStored', [7], null, [], 0, null, 'CPU', null, null, 0, null, null])
})

test.each(VERSIONS)('live and replayed frames of %s are laid out as recorded', (version) => {
  const lines = eventLines(version, 'replay')
  const requests = lines.filter(({ client, request }) => client === 'DEALER' && request !== undefined)
  const replies = lines.filter(
    ({ client, frames, end }) => client === 'DEALER' && frames !== undefined && end !== true,
  )
  const end = lines.find(({ client, end: isEnd }) => client === 'DEALER' && isEnd === true)
  expect(replies.length).toBeGreaterThan(0)
  for (const { frames, topic, seq } of replies) {
    const payload = Buffer.from(frames.at(-1), 'hex')
    // 0.23's replay names no topic: the recorder shows what it found in that place.
    expect(replayFrames(version, topic ?? '', seq, payload).map(hex)).toEqual(frames)
  }
  expect(replayEndFrames(version).map(hex)).toEqual(end.frames)
  for (const { request, start } of requests) {
    expect(
      replayStart([Buffer.from('id'), ...request.map((frame: string) => Buffer.from(frame, 'hex'))]),
    ).toBe(start)
  }
  expect(replayStart([Buffer.from('id'), Buffer.alloc(8)])).toBeNull()
  const [live] = batches(version, '02-duplicate')
  expect(hex(seqFrame(live!.seq))).toBe(live!.frames[1])
})
