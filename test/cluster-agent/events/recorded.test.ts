import { describe, expect, test } from 'vitest'
import { decodeBatch } from '../../../cluster-agent/events/decode-batch.ts'
import { parseLiveFrames, parseReplayFrames, replayRequest } from '../../../cluster-agent/events/frames.ts'
import { eventSteps, readEvents, readLines, RECORDED_VERSIONS } from '../../support/recorded.ts'

/** A hash as the recorder wrote it: a number, `{u64}`, or `{hex}` of which the last 8 bytes count. */
function hashOf(value: unknown): bigint {
  if (typeof value === 'number') return BigInt(value)
  const { u64, hex } = value as { u64?: string; hex?: string }
  return u64 === undefined ? BigInt(`0x${hex?.slice(-16)}`) : BigInt(u64)
}

const FIELDS = [
  'type',
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
]

function named(event: unknown): Record<string, unknown> {
  if (!Array.isArray(event)) return event as Record<string, unknown>
  const names = event[0] === 'BlockRemoved' ? ['type', 'block_hashes', 'medium', 'group_idx'] : FIELDS
  return Object.fromEntries(names.map((name, i) => [name, event[i]]))
}

describe.each(RECORDED_VERSIONS)('%s', (version) => {
  test.each(eventSteps(version))('every frame of %s decodes to what the recorder saw', (step) => {
    for (const { frames, seq, payload } of readEvents(version, step)) {
      const message = parseLiveFrames(frames)
      expect(message?.seq).toBe(seq)
      const batch = decodeBatch(message!.payload)
      expect(batch?.skipped).toBe(0)
      expect(batch?.events).toHaveLength(payload[1].length)
      for (const [i, event] of batch!.events.entries()) {
        const recorded = named(payload[1][i])
        if (event.kind === 'cleared') expect(recorded['type']).toBe('AllBlocksCleared')
        else {
          expect(event.hashes).toEqual((recorded['block_hashes'] as unknown[]).map(hashOf))
          expect(event.medium).toBe(recorded['medium'])
          expect(event.group).toBe(recorded['group_idx'] ?? 0)
        }
        if (event.kind !== 'stored') continue
        const parent = recorded['parent_block_hash'] ?? null
        expect(event.parent).toBe(parent === null ? null : hashOf(parent))
        expect(event.tokens).toEqual(recorded['token_ids'])
        expect(event.blockTokens).toBe(recorded['block_size'])
        expect(event.lora).toBe(recorded['lora_name'] ?? null)
        expect(event.extraKeys).toEqual(recorded['extra_keys'] ?? [])
      }
    }
  })

  test('every recorded replay reply parses, up to its end marker', () => {
    const replies = readLines(version, 'events-replay.jsonl') as {
      client: string
      frames?: string[]
      request?: string[]
      end?: boolean
      start: number
    }[]
    const dealers = replies.filter(({ client, frames }) => client === 'DEALER' && frames)
    expect(dealers.length).toBeGreaterThan(2)
    const parsed = dealers.map(({ frames }) =>
      parseReplayFrames(frames!.map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')))),
    )
    expect(parsed).not.toContain(null)
    expect(parsed.some((reply) => reply?.kind === 'end')).toBe(true)
    for (const reply of parsed)
      if (reply?.kind === 'message') expect(decodeBatch(reply.message.payload)).not.toBeNull()
    const asked = replies.find(({ client, request }) => client === 'DEALER' && request)
    expect(replayRequest(asked!.start).map((frame) => Buffer.from(frame).toString('hex'))).toEqual(
      asked!.request,
    )
  })
})
