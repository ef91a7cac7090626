import { expect, test } from 'vitest'
import { BlockIndex } from '../../../cluster-agent/blocks/block-index.ts'
import { NO_BLOCK } from '../../../cluster-agent/blocks/block-table.ts'
import { PrefixLedger } from '../../../cluster-agent/ledger/prefix-ledger.ts'
import { enterPrompt } from '../../../cluster-agent/prompt/chain-marks.ts'

const stored = (hashes: bigint[], tokens: number[], medium = 'GPU') => ({
  kind: 'stored' as const,
  hashes,
  parent: null,
  tokens,
  blockTokens: tokens.length / hashes.length,
  lora: null,
  extraKeys: [],
  medium,
  group: 0,
  groupKind: null,
})
const removed = (hash: bigint, medium = 'GPU') => ({
  kind: 'removed' as const,
  hashes: [hash],
  medium,
  group: 0,
})

function setup(markersMax?: number) {
  const index: BlockIndex = new BlockIndex('m', 2, (block, endpoint) => ledger.noteBlock(block, endpoint))
  const ledger = new PrefixLedger(index, 2, markersMax)
  return { index, ledger }
}
const prompt = {
  lora: null,
  salt: null,
  tokens: [1, 2, 3, 4],
  markers: Uint32Array.of(10, 1, 0, 20, 2, 0, 30, 3, 0),
  certainTokens: [1, 2, 4],
}

test('nothing is learnt before the block size is known', () => {
  const { index, ledger } = setup()
  expect(enterPrompt(index, ledger, prompt)).toBe(false)
  expect(ledger.size).toBe(0)
})

test('markers change tier with their blocks; each change is told once', () => {
  const { index, ledger } = setup()
  index.apply(0, stored([1n, 2n], [1, 2, 3, 4]))
  expect(enterPrompt(index, ledger, prompt)).toBe(true)
  expect(ledger.find(1, 0)).toMatchObject({ tokens: 1, block: NO_BLOCK })
  expect(ledger.find(3, 0)).toMatchObject({ tokens: 4 })
  expect(ledger.find(9, 9)).toBeNull()
  expect(ledger.drainChanges(10)).toEqual([
    { lo: 2, hi: 0, tier: 1 },
    { lo: 3, hi: 0, tier: 1 },
  ])
  expect(ledger.drainChanges(10)).toEqual([])
  expect([...ledger.resident()]).toHaveLength(2)
  index.apply(0, stored([2n], [], 'CPU'))
  index.apply(0, removed(2n))
  // The slowest part of the chain is what the marker costs.
  expect(ledger.drainChanges(10)).toEqual([{ lo: 3, hi: 0, tier: 2 }])
  index.apply(0, removed(2n, 'CPU'))
  expect(ledger.drainChanges(10)).toEqual([{ lo: 3, hi: 0, tier: 0 }])
  // The same prefix on another endpoint, under hashes of its own.
  index.apply(1, stored([70n, 71n], [1, 2, 3, 4]))
  expect(ledger.drainChanges(10)).toEqual([
    { lo: 2, hi: 0, tier: 1, copies: 2 },
    { lo: 3, hi: 0, tier: 1 },
  ])
  index.fence(1)
  index.fence(0)
  expect(ledger.drainChanges(1)).toHaveLength(1)
  expect(ledger.drainChanges(10)).toHaveLength(1)
  expect([...ledger.resident()]).toEqual([])
})

test('a chain with a hole is not resident', () => {
  const { index, ledger } = setup()
  index.apply(0, stored([1n, 2n], [1, 2, 3, 4]))
  enterPrompt(index, ledger, prompt)
  index.apply(0, removed(1n))
  expect(ledger.drainChanges(10).filter(({ tier }) => tier !== 0)).toEqual([])
})

test('the least recently used markers go first, and the directories hear of it', () => {
  const { index, ledger } = setup(3)
  index.apply(0, stored([1n, 2n], [1, 2, 3, 4]))
  enterPrompt(index, ledger, prompt)
  ledger.drainChanges(10)
  ledger.find(2, 0)
  ledger.find(1, 0)
  ledger.learn({ lo: 50, hi: 0, tokens: 0, block: NO_BLOCK })
  expect(ledger.size).toBe(3)
  expect(ledger.find(3, 0)).toBeNull()
  expect(ledger.drainChanges(10)).toEqual([{ lo: 3, hi: 0, tier: 0 }])
})

test('when everything is forgotten no block is held', () => {
  const { index, ledger } = setup(1)
  index.apply(0, stored([1n, 2n], [1, 2, 3, 4]))
  enterPrompt(index, ledger, prompt)
  enterPrompt(index, ledger, { ...prompt, tokens: [5, 6, 7, 8] })
  ledger.learn({ lo: 99, hi: 99, tokens: 0, block: NO_BLOCK })
  index.fence(0)
  expect(index.table.size).toBe(0)
})

test('a key that comes to mean another block is told anew', () => {
  const { index, ledger } = setup()
  index.apply(0, stored([1n, 2n], [1, 2, 3, 4]))
  enterPrompt(index, ledger, prompt)
  ledger.drainChanges(10)
  enterPrompt(index, ledger, { ...prompt, tokens: [9, 9, 9, 9] })
  expect(ledger.drainChanges(10)).toEqual([
    { lo: 2, hi: 0, tier: 0 },
    { lo: 3, hi: 0, tier: 0 },
  ])
})

test('a hole in a chain that fills again makes the markers behind it resident', () => {
  const { index, ledger } = setup()
  index.apply(0, stored([1n, 2n], [1, 2, 3, 4]))
  enterPrompt(index, ledger, prompt)
  index.apply(0, removed(1n))
  ledger.drainChanges(10)
  expect([...ledger.resident()]).toEqual([])
  index.apply(0, stored([1n], [1, 2]))
  expect(ledger.drainChanges(10)).toContainEqual({ lo: 3, hi: 0, tier: 1 })
})

test('when the index is full the oldest markers make room, and the directories hear of it', () => {
  const index: BlockIndex = new BlockIndex('m', 1, (block, endpoint) => ledger.noteBlock(block, endpoint), {
    blocksMax: 2,
    makeRoom: () => ledger.shed(),
  })
  const ledger = new PrefixLedger(index, 1)
  index.apply(0, stored([1n, 2n], [1, 2, 3, 4]))
  enterPrompt(index, ledger, prompt)
  ledger.drainChanges(10)
  index.apply(0, { kind: 'cleared' })
  expect(index.table.size).toBe(2)
  index.apply(0, stored([3n, 4n], [5, 6, 7, 8]))
  expect(index.residentHashes(0, 1)).toHaveLength(2)
  expect(ledger.size).toBe(0)
  expect(ledger.drainChanges(10)).toHaveLength(2)
})
