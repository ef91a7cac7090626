import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BlockIndex } from '../../../cluster-agent/blocks/block-index.ts'
import { NO_BLOCK, type Block } from '../../../cluster-agent/blocks/block-table.ts'
import { ORPHANS_MAX } from '../../../cluster-agent/blocks/orphans.ts'
import type { KvEvent, StoredEvent } from '../../../cluster-agent/events/kv-event.ts'

const GPU = 1
const CPU = 2

function stored(
  parent: bigint | null,
  hashes: bigint[],
  tokens: number[],
  more: Partial<StoredEvent> = {},
): StoredEvent {
  return {
    kind: 'stored',
    hashes,
    parent,
    tokens,
    blockTokens: hashes.length === 0 ? 0 : tokens.length / hashes.length,
    lora: null,
    extraKeys: [],
    medium: 'GPU',
    group: 0,
    groupKind: null,
    ...more,
  }
}
const removed = (hash: bigint, medium = 'GPU'): KvEvent => ({
  kind: 'removed',
  hashes: [hash],
  medium,
  group: 0,
})

function chainOf(
  index: BlockIndex,
  tokens: number[],
  salt: string | null = null,
  lora: string | null = null,
): Int32Array {
  const chain: Block[] = []
  for (const [i, token] of tokens.entries()) {
    chain.push(
      index.table.intern(index.root(lora, i === 0 ? salt : null, 1), chain[i - 1] ?? NO_BLOCK, [token], null),
    )
  }
  return Int32Array.from(chain)
}

test('two endpoints with hashes of their own hold the same blocks', () => {
  const index = new BlockIndex('m', 2)
  index.apply(0, stored(null, [10n, 11n], [1, 2]))
  index.apply(1, stored(null, [70n], [1]))
  const chain = chainOf(index, [1, 2, 3])
  expect(index.match(chain, 0)).toEqual([{ tier: GPU, blocks: 2 }])
  expect(index.match(chain, 1)).toEqual([{ tier: GPU, blocks: 1 }])
})

test('salts and adapters keep prompts apart', () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, stored(null, [1n], [7], { extraKeys: [['salt-a']] }))
  index.apply(0, stored(null, [2n], [7], { lora: 'ad', extraKeys: [['ad', 'salt-a']] }))
  expect(index.match(chainOf(index, [7]), 0)).toEqual([])
  expect(index.match(chainOf(index, [7], 'salt-b'), 0)).toEqual([])
  expect(index.match(chainOf(index, [7], 'salt-a'), 0)).toHaveLength(1)
  expect(index.match(chainOf(index, [7], 'salt-a', 'ad'), 0)).toHaveLength(1)
  expect(index.match(chainOf(index, [7], null, 'ad'), 0)).toEqual([])
})

test('a second physical copy survives the removal of the first', () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, stored(null, [1n], [1]))
  index.apply(0, stored(null, [1n], [1]))
  index.apply(0, removed(1n))
  expect(index.residentHashes(0, GPU)).toEqual([1n])
  index.apply(0, removed(1n))
  index.apply(0, removed(1n))
  expect(index.residentHashes(0, GPU)).toEqual([])
  expect(index.table.size).toBe(0)
})

test('a store that comes before its parent waits for it', () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, stored(2n, [3n], [3]))
  index.apply(0, stored(1n, [2n], [2]))
  expect(index.counts.orphans).toBe(2)
  index.apply(0, stored(null, [1n], [1]))
  expect(index.counts.orphans).toBe(0)
  expect(index.match(chainOf(index, [1, 2, 3]), 0)).toEqual([{ tier: GPU, blocks: 3 }])
})

test('orphans are bounded, and one that was evicted meanwhile does not come back', () => {
  const index = new BlockIndex('m', 1)
  for (let i = 0; i < ORPHANS_MAX + 10; i++)
    index.apply(0, stored(BigInt(i + 1000), [BigInt(i + 100_000)], [i]))
  expect(index.counts.orphans).toBe(ORPHANS_MAX)
  index.fence(0)
  index.apply(0, stored(1n, [2n, 3n], [2, 3]))
  index.apply(0, removed(3n))
  index.apply(0, stored(null, [1n], [1]))
  expect(index.match(chainOf(index, [1, 2, 3]), 0)).toEqual([{ tier: GPU, blocks: 2 }])
})

test('placeholders of DRAM resolve through the GPU hashes and outlive the GPU copy', () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, stored(null, [1n, 2n], [1, 2]))
  for (const hash of [1n, 2n, 9n]) index.apply(0, stored(null, [hash], [], { medium: 'CPU', blockTokens: 0 }))
  index.apply(0, removed(2n))
  const chain = chainOf(index, [1, 2])
  expect(index.match(chain, 0)).toEqual([
    { tier: GPU, blocks: 1 },
    { tier: CPU, blocks: 1 },
  ])
  index.apply(0, { kind: 'cleared' })
  expect(index.match(chain, 0)).toEqual([{ tier: CPU, blocks: 2 }])
  index.apply(0, removed(1n, 'CPU'))
  expect(index.match(chain, 0)).toEqual([])
})

test('a match that left the GPU does not come back to it', () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, stored(null, [1n, 2n, 3n], [1, 2, 3]))
  index.apply(0, stored(null, [2n], [], { medium: 'CPU', blockTokens: 0 }))
  index.apply(0, removed(2n))
  expect(index.match(chainOf(index, [1, 2, 3]), 0)).toEqual([
    { tier: GPU, blocks: 1 },
    { tier: CPU, blocks: 1 },
  ])
})

test('sparse runs, other attention and unknown media are not indexed', () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, stored(null, [1n], [1, 2, 3, 4], { blockTokens: 2 }))
  index.apply(0, stored(null, [2n], [1], { groupKind: 'sliding_window' }))
  index.apply(0, stored(null, [3n], [1], { medium: 'HOLOGRAM' }))
  expect(index.counts.ignored).toBe(3)
  expect(index.table.size).toBe(0)
})

test('a hash that comes to mean another block, of another size or behind another parent, means only that', () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, stored(null, [1n, 2n], [1, 2]))
  index.apply(0, stored(1n, [2n], [8, 9]))
  expect(index.match(chainOf(index, [1, 2]), 0)).toEqual([{ tier: GPU, blocks: 1 }])
  index.apply(0, stored(null, [1n], [5, 6, 7]))
  expect(index.match(chainOf(index, [1]), 0)).toEqual([])
  expect(index.residentHashes(0, GPU).toSorted()).toEqual([1n, 2n])
})

test('a shorter last block does not change what a block is; a change of all does', () => {
  const index = new BlockIndex('m', 1)
  index.assumeBlockTokens(32)
  index.apply(0, stored(null, [1n], [1, 2, 3, 4]))
  expect(index.blockTokens).toBe(4)
  index.apply(0, stored(1n, [2n], [5]))
  expect(index.blockTokens).toBe(4)
  for (let i = 0; i < 64; i++) index.apply(0, stored(null, [BigInt(i + 10)], [i, i]))
  expect(index.blockTokens).toBe(2)
})

test("llm-d's simulator: no size, and 0 for no parent", () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, stored(0n, [1n, 2n], [1, 2], { blockTokens: 0 }))
  expect(index.match(chainOf(index, [1, 2]), 0)).toEqual([{ tier: GPU, blocks: 2 }])
  expect(index.counts.orphans).toBe(0)
})

test('256 endpoints stand side by side', () => {
  const index = new BlockIndex('m', 256)
  for (let endpoint = 0; endpoint < 256; endpoint++)
    index.apply(
      endpoint,
      stored(null, [1n, 2n, 3n].slice(0, 1 + (endpoint % 3)), [1, 2, 3].slice(0, 1 + (endpoint % 3))),
    )
  const chain = chainOf(index, [1, 2, 3, 4])
  for (let endpoint = 0; endpoint < 256; endpoint++)
    expect(index.match(chain, endpoint)).toEqual([{ tier: GPU, blocks: 1 + (endpoint % 3) }])
  expect(() => new BlockIndex('m', 257)).toThrow(RangeError)
})

type Step = {
  readonly endpoint: number
  readonly what: 'store' | 'remove' | 'clear' | 'fence' | 'offload'
  readonly at: number
}

test('the index equals a naive model under random histories', () => {
  const step = fc.record<Step>({
    endpoint: fc.nat(2),
    what: fc.constantFrom('store', 'store', 'store', 'remove', 'remove', 'offload', 'clear', 'fence'),
    at: fc.nat(30),
  })
  // Block n stands behind block (n - 1) / 2: a fixed tree of prompts.
  const parentOf = (n: number) => (n === 0 ? null : Math.floor((n - 1) / 2))
  const pathTo = (n: number): number[] => [...(parentOf(n) === null ? [] : pathTo(parentOf(n)!)), n]
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const changed = new Set<Block>()
      const index = new BlockIndex('m', 3, (block) => changed.add(block))
      const model = Array.from({ length: 3 }, () => new Map<string, number>())
      const hashOf = (endpoint: number, n: number) => BigInt(endpoint * 1000 + n + 1)
      const copies = (endpoint: number, n: number, tier: number) => model[endpoint]!.get(`${n} ${tier}`) ?? 0
      const add = (endpoint: number, n: number, tier: number, delta: number) =>
        model[endpoint]!.set(`${n} ${tier}`, copies(endpoint, n, tier) + delta)
      for (const { endpoint, what, at } of steps) {
        const isKnown = copies(endpoint, at, GPU) + copies(endpoint, at, CPU) > 0
        const parent = parentOf(at)
        if (what === 'store') {
          // An engine stores behind blocks that it holds.
          if (parent !== null && copies(endpoint, parent, GPU) + copies(endpoint, parent, CPU) === 0) continue
          index.apply(
            endpoint,
            stored(parent === null ? null : hashOf(endpoint, parent), [hashOf(endpoint, at)], [at]),
          )
          add(endpoint, at, GPU, 1)
        } else if (what === 'offload') {
          index.apply(endpoint, stored(null, [hashOf(endpoint, at)], [], { medium: 'CPU', blockTokens: 0 }))
          if (isKnown) add(endpoint, at, CPU, 1)
        } else if (what === 'remove') {
          const tier = copies(endpoint, at, GPU) > 0 ? GPU : CPU
          index.apply(endpoint, removed(hashOf(endpoint, at), tier === GPU ? 'GPU' : 'CPU'))
          if (copies(endpoint, at, tier) > 0) add(endpoint, at, tier, -1)
        } else if (what === 'clear') {
          index.apply(endpoint, { kind: 'cleared' })
          for (const key of model[endpoint]!.keys()) if (key.endsWith(` ${GPU}`)) model[endpoint]!.delete(key)
        } else {
          index.fence(endpoint)
          model[endpoint]!.clear()
        }
      }
      for (let endpoint = 0; endpoint < 3; endpoint++) {
        for (let leaf = 0; leaf <= 30; leaf++) {
          const expected: number[] = []
          let tier = GPU
          for (const n of pathTo(leaf)) {
            if (tier === GPU && copies(endpoint, n, GPU) === 0) tier = CPU
            if (copies(endpoint, n, tier) === 0) break
            expected.push(tier)
          }
          const runs = index.match(chainOf(index, pathTo(leaf)), endpoint)
          expect(runs.flatMap((run) => Array.from({ length: run.blocks }, () => run.tier))).toEqual(expected)
        }
      }
      for (let endpoint = 0; endpoint < 3; endpoint++) index.fence(endpoint)
      expect(index.residentHashes(0, GPU)).toEqual([])
      if (steps.some(({ what }) => what === 'store')) expect(changed.size).toBeGreaterThanOrEqual(0)
    }),
    { numRuns: 200 },
  )
})
