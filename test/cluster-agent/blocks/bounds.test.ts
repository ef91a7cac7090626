import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BlockIndex } from '../../../cluster-agent/blocks/block-index.ts'
import { BlockTable, NO_BLOCK } from '../../../cluster-agent/blocks/block-table.ts'
import { EndpointSets } from '../../../cluster-agent/blocks/endpoint-sets.ts'
import { EngineHashes, NO_ENTRY } from '../../../cluster-agent/blocks/engine-hashes.ts'
import { ORPHAN_BLOCKS_MAX, ORPHAN_WEIGHT_MAX, OrphanStore } from '../../../cluster-agent/blocks/orphans.ts'
import type { StoredEvent } from '../../../cluster-agent/events/kv-event.ts'

const GPU = 1
const stored = (hashes: bigint[], parent: bigint | null, tokens: number[]): StoredEvent => ({
  kind: 'stored',
  hashes,
  parent,
  tokens,
  blockTokens: 1,
  lora: null,
  extraKeys: [],
  medium: 'GPU',
  group: 0,
  groupKind: null,
})
const removed = (hash: bigint) => ({ kind: 'removed' as const, hashes: [hash], medium: 'GPU', group: 0 })
const root = { model: 'm', lora: null, salt: null, blockTokens: 1 }

test('a full table refuses, asks for room, and takes blocks again when there is some', () => {
  let held: number[] = []
  const table = new BlockTable(8, () => {
    for (const block of held) table.release(block)
    held = []
  })
  for (let i = 0; i < 8; i++) {
    const block = table.intern(root, NO_BLOCK, [i], null)
    table.retain(block)
    held.push(block)
  }
  const kept = table.intern(root, NO_BLOCK, [100], null)
  table.retain(kept)
  expect(table.size).toBe(1)
  for (let i = 0; i < 7; i++) table.retain(table.intern(root, NO_BLOCK, [200 + i], null))
  expect(() => table.intern(root, NO_BLOCK, [300], null)).toThrow(/holds its 8 blocks/)
  // What is there is found all the same.
  expect(table.intern(root, NO_BLOCK, [100], null)).toBe(kept)
})

test('a block that nobody retained goes with the next sweep, with those that only it held', () => {
  const table = new BlockTable()
  const first = table.intern(root, NO_BLOCK, [1], null)
  table.intern(root, first, [2], null)
  const kept = table.intern(root, NO_BLOCK, [7], null)
  table.retain(kept)
  table.sweep()
  expect(table.size).toBe(1)
  expect(table.chain(kept)).toEqual(Int32Array.of(kept))
})

test('sets of endpoints are kept once, freed with their last block, and never more than the bound', () => {
  const sets = new EndpointSets(100, 4)
  const one = sets.toggle(0, 70, 1)
  expect(sets.toggle(0, 70, 1)).toBe(one)
  expect(sets.has(one, 70, 1)).toBe(true)
  const both = sets.toggle(one, 3, 2)
  const other = sets.toggle(0, 4, 1)
  expect(sets.size).toBe(4)
  expect(sets.toggle(both, 5, 1)).toBe(-1)
  expect(sets.toggle(both, 3, 2)).toBe(one)
  // `both` is free again.
  expect(sets.toggle(other, 5, 1)).toBeGreaterThan(0)
})

test('pages of hashes go back when their lane is empty', () => {
  const hashes = new EngineHashes(1024)
  for (let i = 0; i < 1024; i++) expect(hashes.enter(0, i, 0, i)).not.toBe(NO_ENTRY)
  expect(hashes.enter(1, 1, 0, 1)).toBe(NO_ENTRY)
  for (const entry of hashes.of(0)) hashes.remove(0, entry)
  expect(hashes.size).toBe(0)
  for (let i = 0; i < 1024; i++) expect(hashes.enter(i % 4, i, 0, i)).not.toBe(NO_ENTRY)
  expect(
    [...hashes.of(2)]
      .map((entry) => hashes.block(entry))
      .toSorted((a, b) => a - b)
      .slice(0, 3),
  ).toEqual([2, 6, 10])
})

test('orphans are bounded by their blocks too', () => {
  const orphans = new OrphanStore()
  const run = (parent: number, blocks: number) => ({
    hashes: new Int32Array(blocks * 2).map((_, i) => parent * 1e6 + i),
    hashFrom: 0,
    hashCount: blocks,
    tokens: new Int32Array(blocks),
    tokenFrom: 0,
    tokenCount: blocks,
    blockTokens: 1,
    hasParent: true,
    parentLo: parent,
    parentHi: 0,
    lora: null,
    salt: null,
    extraKeys: [],
    medium: null,
    group: 0,
    groupKind: null,
    windowTokens: null,
  })
  for (let parent = 1; parent <= 10; parent++) orphans.add(run(parent, ORPHAN_BLOCKS_MAX / 4))
  expect(orphans.blocks).toBe(ORPHAN_BLOCKS_MAX)
  expect(orphans.take(1, 0)).toEqual([])
  expect(orphans.take(10, 0)).toHaveLength(1)
  orphans.add(run(99, ORPHAN_BLOCKS_MAX + 1))
  expect(orphans.take(99, 0)).toEqual([])
  // And by what their blocks hold.
  orphans.clear()
  const heavy = (parent: number, tokenCount: number) => ({
    ...run(parent, 1),
    tokens: new Int32Array(tokenCount),
    tokenCount,
    blockTokens: tokenCount,
  })
  for (const parent of [1, 2, 3]) orphans.add(heavy(parent, ORPHAN_WEIGHT_MAX / 2))
  expect([1, 2, 3].map((parent) => orphans.take(parent, 0).length)).toEqual([0, 1, 1])
  orphans.add({ ...run(4, 1), extraKeys: ['x'.repeat(ORPHAN_WEIGHT_MAX)] })
  expect(orphans.size).toBe(0)
})

test('an index that is full claims nothing wrong, and takes blocks again when others go', () => {
  const index = new BlockIndex('m', 2, () => undefined, { blocksMax: 4, entriesMax: 1024 })
  index.apply(0, stored([1n, 2n, 3n], null, [1, 2, 3]))
  index.apply(1, stored([11n, 12n, 13n, 14n], null, [1, 2, 3, 4]))
  index.apply(1, stored([15n], 14n, [5]))
  expect(index.counts.refused).toBe(1)
  expect(index.residentHashes(1, GPU)).toHaveLength(4)
  for (const hash of [14n, 13n]) index.apply(1, removed(hash))
  index.apply(0, removed(3n))
  for (let i = 0; i < 1001; i++) index.apply(1, stored([16n], 12n, [9]))
  expect(index.residentHashes(1, GPU)).toContain(16n)
})

test('with any bounds an index claims no more than an unbounded one', () => {
  const step = fc.record({
    endpoint: fc.nat(3),
    what: fc.constantFrom(
      'store' as const,
      'store' as const,
      'store' as const,
      'remove' as const,
      'clear' as const,
    ),
    at: fc.nat(40),
  })
  const parentOf = (n: number) => (n === 0 ? null : Math.floor((n - 1) / 2))
  const pathTo = (n: number): number[] => [...(parentOf(n) === null ? [] : pathTo(parentOf(n)!)), n]
  const bounds = fc.record({
    blocksMax: fc.integer({ min: 1, max: 60 }),
    entriesMax: fc.constantFrom(256, 512),
    setsMax: fc.integer({ min: 1, max: 12 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150, size: 'max' }), bounds, (steps, limits) => {
      const small = new BlockIndex('m', 4, () => undefined, limits)
      const large = new BlockIndex('m', 4)
      for (const { endpoint, what, at } of steps) {
        const parent = parentOf(at)
        for (const index of [small, large]) {
          if (what === 'store')
            index.apply(endpoint, stored([BigInt(at + 1)], parent === null ? null : BigInt(parent + 1), [at]))
          else if (what === 'remove') index.apply(endpoint, removed(BigInt(at + 1)))
          else index.apply(endpoint, { kind: 'cleared' })
        }
      }
      for (let endpoint = 0; endpoint < 4; endpoint++)
        for (let leaf = 20; leaf <= 40; leaf++) {
          const depth = (index: BlockIndex) => {
            const chain: number[] = []
            try {
              for (const n of pathTo(leaf))
                chain.push(index.table.intern(root, chain.at(-1) ?? NO_BLOCK, [n], null))
            } catch (error) {
              expect(error).toBeInstanceOf(RangeError)
            }
            const runs = index.match(Int32Array.from(chain), endpoint)
            return runs.reduce((sum, { blocks }) => sum + blocks, 0)
          }
          expect(depth(small)).toBeLessThanOrEqual(depth(large))
        }
      for (let endpoint = 0; endpoint < 4; endpoint++)
        for (const index of [small, large]) index.fence(endpoint)
      for (const index of [small, large]) {
        index.table.sweep()
        expect(index.table.size).toBe(0)
      }
    }),
    { numRuns: 500 },
  )
})

test('a resident block takes at most 64 bytes, every map counted', () => {
  const index = new BlockIndex('m', 64)
  const blocks = 200_000
  for (let chain = 0; chain < blocks / 100; chain++) {
    const first = chain * 100 + 1
    const hashes = Array.from(
      { length: 100 },
      (_, i) => (BigInt(first + i) * 0x9e3779b97f4a7c15n) & 0xffffffffffffffffn,
    )
    index.apply(
      chain % 64,
      stored(
        hashes,
        null,
        Array.from({ length: 100 }, (_, i) => chain * 7 + i * 1000),
      ),
    )
  }
  expect(index.table.size).toBe(blocks)
  expect(index.counts.bytes / blocks).toBeLessThanOrEqual(64)
})
