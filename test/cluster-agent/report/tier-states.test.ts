import { expect, test } from 'vitest'
import { TierCounts } from '../../../cluster-agent/blocks/tier-counts.ts'
import { TierStates } from '../../../cluster-agent/report/tier-states.ts'

function evict(counts: TierCounts, tier: number, blocks: number): void {
  for (let i = 0; i < blocks; i++) {
    counts.note(tier, -1)
    counts.noteEviction(tier)
  }
}

test('only tiers that ever held anything are told, and how much lies there', () => {
  const counts = new TierCounts()
  const states = new TierStates()
  expect(states.of(counts, 0)).toEqual({})
  counts.note(1, 30)
  counts.note(2, 5)
  expect(states.of(counts, 200)).toEqual({
    gpu: { blocks: 30, evictedBlocksPerS: 0 },
    cpu: { blocks: 5, evictedBlocksPerS: 0 },
  })
})

test('the rate follows what engines evict, and fades when they stop', () => {
  const counts = new TierCounts()
  const states = new TierStates()
  counts.note(1, 100_000)
  states.of(counts, 0)
  let nowMs = 0
  const second = (evictions: number) => {
    for (let beat = 0; beat < 5; beat++) {
      evict(counts, 1, evictions / 5)
      nowMs += 200
      states.of(counts, nowMs)
    }
    return states.of(counts, nowMs)['gpu']?.evictedBlocksPerS ?? NaN
  }
  for (let i = 0; i < 40; i++) second(100)
  expect(second(100)).toBe(100)
  // Asked again at the same time it says the same.
  expect(states.of(counts, nowMs)).toEqual(states.of(counts, nowMs))
  const rates = Array.from({ length: 60 }, () => second(0))
  expect(rates.every((rate, index) => rate <= (rates[index - 1] ?? 100))).toBe(true)
  expect(rates[4]).toBeGreaterThan(20)
  expect(rates.at(-1)).toBe(0)
})

test('what was evicted before anybody asked is no rate', () => {
  const counts = new TierCounts()
  counts.note(1, 50)
  evict(counts, 1, 40)
  expect(new TierStates().of(counts, 9)).toEqual({ gpu: { blocks: 10, evictedBlocksPerS: 0 } })
})
