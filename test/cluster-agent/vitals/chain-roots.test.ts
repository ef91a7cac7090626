import { expect, test } from 'vitest'
import { EventBatch } from '../../../cluster-agent/events/event-batch.ts'
import type { KvEvent, StoredEvent } from '../../../cluster-agent/events/kv-event.ts'
import { ChainRoots } from '../../../cluster-agent/vitals/chain-roots.ts'

const stored = (fields: Partial<StoredEvent>): StoredEvent => ({
  kind: 'stored',
  hashes: [1n],
  parent: null,
  tokens: [1, 2, 3, 4],
  blockTokens: 4,
  lora: null,
  medium: 'GPU',
  extraKeys: [['salt']],
  group: 0,
  groupKind: null,
  ...fields,
})

function batch(...events: readonly KvEvent[]): EventBatch {
  const made = new EventBatch()
  for (const event of events) made.push(event)
  return made
}

test('chains are counted by salt; adapters are none', () => {
  const roots = new ChainRoots()
  roots.note(
    0,
    batch(
      stored({}),
      stored({ extraKeys: [null] }),
      stored({ lora: 'a', extraKeys: [['a']] }),
      stored({ lora: 'a', extraKeys: [['a', 'salt']] }),
      stored({ parent: 9n, extraKeys: [null] }),
      { kind: 'cleared' },
      stored({ hashes: [7n], tokens: [], blockTokens: 0, extraKeys: [] }),
    ),
  )
  expect(roots.of(0)).toMatchObject({ salted: 2, unsalted: 2, blockTokens: 4 })
  roots.forget(0)
  expect(roots.of(0)).toMatchObject({ salted: 0, unsalted: 0, blockTokens: 0 })
})

test('the same first block under another hash is told apart from another block', () => {
  const roots = new ChainRoots()
  roots.note(0, batch(stored({ hashes: [1n] })))
  roots.note(1, batch(stored({ hashes: [1n] })))
  roots.note(
    2,
    batch(
      stored({ hashes: [2n] }),
      stored({ hashes: [3n], tokens: [1, 2, 3, 5] }),
      stored({ hashes: [4n], extraKeys: [['other salt']] }),
    ),
  )
  roots.note(0, batch(stored({ hashes: [1n] })))
  const hashes = [0, 1, 2].map((endpoint) => roots.of(endpoint)).map((of) => [of.sameHashes, of.otherHashes])
  expect(hashes).toEqual([
    [0, 0],
    [1, 0],
    [0, 1],
  ])
})
