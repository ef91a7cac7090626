import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Residency } from '../../../cluster-agent/blocks/residency.ts'
import { runsOf } from '../../../simulator/policies/match-runs.ts'
import { ResidencyLog, ResidencyView, TIER_COUNT } from '../../../simulator/world/residency.ts'

const ENDPOINTS = 5
const BLOCKS = 12
const change = fc.record({
  block: fc.nat(BLOCKS - 1),
  endpoint: fc.nat(ENDPOINTS - 1),
  tier: fc.integer({ min: 1, max: TIER_COUNT }),
  isStored: fc.boolean(),
})

test('a view matches as the index of an agent does', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 150, size: 'max' }), (changes) => {
      const index = new Residency(ENDPOINTS)
      const log = new ResidencyLog()
      const view = new ResidencyView([{ log, delayMs: 0 }], BLOCKS + 1)
      for (const { block, endpoint, tier, isStored } of changes) {
        // Block 0 names nothing in the agent's index. Only what changes is told: copies are the next test's.
        if (index.has(block + 1, endpoint, tier) === isStored) continue
        index.set(block + 1, endpoint, tier, isStored)
        log.push(0, endpoint, tier, isStored, block + 1)
      }
      view.advance(0)
      const chain = Int32Array.from({ length: BLOCKS }, (_, i) => i + 1)
      const into = new Int32Array(32 * TIER_COUNT)
      view.match(chain, BLOCKS, (1 << ENDPOINTS) - 1, into)
      for (let endpoint = 0; endpoint < ENDPOINTS; endpoint++)
        expect(runsOf(into, endpoint)).toEqual(index.match(chain, endpoint))
      for (let tier = 1; tier <= TIER_COUNT; tier++) {
        const held = view.prefixOn(tier, chain, BLOCKS, (1 << ENDPOINTS) - 1)
        for (let endpoint = 0; endpoint < ENDPOINTS; endpoint++) {
          const end = chain.findIndex((block) => !index.has(block, endpoint, tier))
          expect(held[endpoint]).toBe(end < 0 ? BLOCKS : end)
        }
      }
    }),
    { numRuns: 500 },
  )
})

test('a view whose changes set out together hears of them when their batch has come', () => {
  const log = new ResidencyLog()
  const view = new ResidencyView([{ log, delayMs: 30, batchMs: 100 }], 10)
  const into = new Int32Array(32 * TIER_COUNT)
  const blocksAt = (nowMs: number) => {
    view.advance(nowMs)
    view.match(Int32Array.of(3, 4), 2, 1, into)
    return into[0]
  }
  log.push(50, 0, 1, true, 3)
  log.push(120, 0, 1, true, 4)
  expect([blocksAt(129), blocksAt(130), blocksAt(229), blocksAt(230)]).toEqual([0, 1, 1, 2])
})

test('a view hears of changes behind its delay, counts copies, and forgets who lost everything', () => {
  const log = new ResidencyLog()
  const late = new ResidencyView([{ log, delayMs: 100 }], 10)
  const into = new Int32Array(32 * TIER_COUNT)
  const onGpu = (nowMs: number) => {
    late.advance(nowMs)
    late.match(Int32Array.of(3), 1, 1, into)
    return into[0]
  }
  log.push(50, 0, 1, true, 3)
  log.push(50, 0, 1, true, 3)
  expect([onGpu(149), onGpu(150)]).toEqual([0, 1])
  log.push(200, 0, 1, false, 3)
  expect(onGpu(300)).toBe(1)
  log.push(310, 0, 0, false, 0)
  expect(onGpu(409)).toBe(1)
  expect(onGpu(410)).toBe(0)
})

test('a view that never hears of some changes is wrong about those only', () => {
  const log = new ResidencyLog()
  let told = 0
  const deaf = new ResidencyView([{ log, delayMs: 0 }], 10, () => told++ === 1)
  for (const block of [1, 2, 3]) log.push(0, 0, 1, true, block)
  deaf.advance(0)
  const into = new Int32Array(32 * TIER_COUNT)
  deaf.match(Int32Array.of(1, 2, 3), 3, 1, into)
  expect(into[0]).toBe(1)
})
