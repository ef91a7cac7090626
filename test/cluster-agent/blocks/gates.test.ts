import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BlockIndex } from '../../../cluster-agent/blocks/block-index.ts'
import { NO_BLOCK, type Block } from '../../../cluster-agent/blocks/block-table.ts'
import type { KvEvent, StoredEvent } from '../../../cluster-agent/events/kv-event.ts'

/** A model with full attention in group 0, and windows or states beside it. Blocks have 4 tokens; block i holds token i. */
const SIZE = 4
const hash = (i: number) => BigInt(i + 100)
const tokensOf = (i: number) => Array.from({ length: SIZE }, () => i)

function stored(from: number, to: number, more: Partial<StoredEvent> = {}): StoredEvent {
  const blocks = Array.from({ length: to - from }, (_, i) => from + i)
  return {
    kind: 'stored',
    hashes: blocks.map(hash),
    parent: from === 0 ? null : hash(from - 1),
    tokens: blocks.flatMap(tokensOf),
    blockTokens: SIZE,
    lora: null,
    extraKeys: [],
    medium: 'GPU',
    group: 0,
    groupKind: 'full_attention',
    ...more,
  }
}
/** A sparse run names only the blocks that are not masked; its tokens span all. */
const windowed = (blocks: number[], windowTokens: number): StoredEvent =>
  stored(0, 10, { hashes: blocks.map(hash), group: 1, groupKind: 'sliding_window', windowTokens })
const removed = (i: number, group: number): KvEvent => ({
  kind: 'removed',
  hashes: [hash(i)],
  medium: 'GPU',
  group,
})

function chainOf(index: BlockIndex, blocks: number): Int32Array {
  const chain: Block[] = []
  for (let i = 0; i < blocks; i++)
    chain.push(index.table.intern(index.root(null, null, SIZE), chain[i - 1] ?? NO_BLOCK, tokensOf(i), null))
  return Int32Array.from(chain)
}
const depth = (index: BlockIndex) =>
  index.match(chainOf(index, 10), 0).reduce((sum, { blocks }) => sum + blocks, 0)

test('a window lets pass as far as its last tokens are there', () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, stored(0, 10))
  expect(depth(index)).toBe(10)
  // A window of 9 tokens looks back two blocks.
  index.apply(0, windowed([3, 4, 7, 8, 9], 9))
  expect(depth(index)).toBe(10)
  index.apply(0, removed(9, 1))
  expect(depth(index)).toBe(9)
  index.apply(0, removed(8, 1))
  expect(depth(index)).toBe(5)
  index.apply(0, removed(3, 1))
  expect(depth(index)).toBe(0)
})

test('a state lets pass where it was kept', () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, stored(0, 10))
  index.apply(0, stored(0, 10, { hashes: [hash(3), hash(7)], group: 2, groupKind: 'mamba' }))
  expect(depth(index)).toBe(8)
  index.apply(0, removed(7, 2))
  expect(depth(index)).toBe(4)
})

test('a second dense group must hold the whole prefix', () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, stored(0, 10))
  index.apply(0, stored(0, 10, { group: 1, groupKind: 'mla_attention' }))
  index.apply(0, removed(6, 1))
  expect(depth(index)).toBe(6)
})

test('a gate may be told of before the blocks that its hashes mean', () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, windowed([8, 9], 9))
  index.apply(0, stored(0, 10))
  expect(depth(index)).toBe(10)
})

test('larger blocks of a group count by their last', () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, stored(0, 10))
  index.apply(
    0,
    stored(0, 8, {
      hashes: [hash(3), hash(7)],
      blockTokens: 4 * SIZE,
      group: 1,
      groupKind: 'sliding_window',
      windowTokens: 17,
    }),
  )
  expect(depth(index)).toBe(8)
})

test('clearing and fencing empty the gates, and nothing is held after', () => {
  const index = new BlockIndex('m', 1)
  for (const end of [() => index.apply(0, { kind: 'cleared' }), () => index.fence(0)]) {
    index.apply(0, stored(0, 10))
    index.apply(0, windowed([8, 9], 9))
    end()
    index.table.sweep()
    expect(index.table.size).toBe(0)
  }
  // Another process may have no windows.
  index.apply(0, stored(0, 10))
  expect(depth(index)).toBe(10)
})

test('unknown groups and kinds change nothing', () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, stored(0, 10))
  index.apply(0, stored(0, 4, { group: 3, groupKind: 'holographic' }))
  index.apply(0, stored(0, 4, { group: 4, groupKind: null }))
  index.apply(0, removed(9, 3))
  index.apply(0, removed(9, 77))
  expect(depth(index)).toBe(10)
  expect(index.counts.ignored).toBe(4)
})

test('the gated depth is that of a naive search', () => {
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { minLength: 10, maxLength: 10 }),
      fc.array(fc.boolean(), { minLength: 10, maxLength: 10 }),
      fc.integer({ min: 2, max: 30 }),
      (window, state, windowTokens) => {
        const index = new BlockIndex('m', 1)
        index.apply(0, stored(0, 10))
        const blocksOf = (bits: boolean[]) => bits.flatMap((bit, i) => (bit ? [i] : []))
        index.apply(0, windowed(blocksOf(window), windowTokens))
        index.apply(0, stored(0, 10, { hashes: blocksOf(state).map(hash), group: 2, groupKind: 'mamba' }))
        const needed = Math.ceil((windowTokens - 1) / SIZE)
        const passes = (end: number) =>
          end === 0 || (state[end - 1] && window.slice(Math.max(end - needed, 0), end).every(Boolean))
        let expected = 10
        while (!passes(expected)) expected--
        expect(depth(index)).toBe(expected)
      },
    ),
    { numRuns: 500 },
  )
})
