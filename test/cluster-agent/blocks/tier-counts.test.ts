import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BlockIndex } from '../../../cluster-agent/blocks/block-index.ts'
import { Residency } from '../../../cluster-agent/blocks/residency.ts'
import type { KvEvent } from '../../../cluster-agent/events/kv-event.ts'

const GPU = 1
const CPU = 2

function stored(hashes: bigint[], medium = 'GPU'): KvEvent {
  const tokens = medium === 'GPU' ? hashes.map(Number) : []
  const blockTokens = tokens.length === 0 ? 0 : 1
  return {
    kind: 'stored',
    hashes,
    parent: null,
    tokens,
    blockTokens,
    lora: null,
    extraKeys: [],
    medium,
    group: 0,
    groupKind: null,
  }
}

function removed(hash: bigint, medium = 'GPU'): KvEvent {
  return { kind: 'removed', hashes: [hash], medium, group: 0 }
}

const counts = ({ tiers }: BlockIndex) => [GPU, CPU].map((tier) => [tiers.held(tier), tiers.evicted(tier)])

test('blocks count once for each endpoint and tier, and leave with their last copy', () => {
  const index = new BlockIndex('m', 2)
  index.apply(0, stored([10n, 11n]))
  index.apply(0, stored([10n]))
  index.apply(0, stored([10n], 'CPU'))
  index.apply(1, stored([10n]))
  expect(counts(index)).toEqual([
    [3, 0],
    [1, 0],
  ])
  // The first of two copies.
  index.apply(0, removed(10n))
  expect(counts(index)[0]).toEqual([3, 0])
  index.apply(0, removed(10n))
  index.apply(0, removed(99n))
  expect(counts(index)).toEqual([
    [2, 1],
    [1, 0],
  ])
})

test('a reset and a restart empty tiers and evict nothing', () => {
  const index = new BlockIndex('m', 2)
  for (const endpoint of [0, 1]) index.apply(endpoint, stored([10n, 11n]))
  index.apply(0, stored([10n], 'CPU'))
  index.apply(0, { kind: 'cleared' })
  expect(counts(index)).toEqual([
    [2, 0],
    [1, 0],
  ])
  index.fence(0)
  index.fence(1)
  expect(counts(index)).toEqual([
    [0, 0],
    [0, 0],
  ])
})

test('the counts are those of the sets, also when there are too many sets', () => {
  const step = fc.record({
    block: fc.nat(7),
    endpoint: fc.nat(3),
    tier: fc.integer({ min: 1, max: 4 }),
    on: fc.boolean(),
  })
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 120, size: 'max' }),
      fc.integer({ min: 2, max: 12 }),
      (steps, setsMax) => {
        const residency = new Residency(4, setsMax)
        for (const { block, endpoint, tier, on } of steps) residency.set(block, endpoint, tier, on)
        for (let tier = 1; tier <= 4; tier++) {
          let held = 0
          for (let block = 0; block < 8; block++)
            for (let endpoint = 0; endpoint < 4; endpoint++)
              held += Number(residency.has(block, endpoint, tier))
          expect(residency.tiers.held(tier)).toBe(held)
        }
      },
    ),
  )
})
