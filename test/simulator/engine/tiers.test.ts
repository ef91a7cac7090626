import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LowerTiers } from '../../../simulator/engine/lower-tiers.ts'
import { engineProfileSchema } from '../../../simulator/engine/profile.ts'
import { SharedChannel } from '../../../simulator/engine/shared-channel.ts'

/** Ends of loads that start at given times, by name. */
function ends(loads: readonly { atMs: number; bytes: number }[], floorMs = 0): Map<number, number> {
  const channel = new SharedChannel<number>({ floorMs, bytesPerMs: 1000 })
  const found = new Map<number, number>()
  const take = (untilMs: number) => {
    for (let at = channel.nextEndMs(); at !== null && at <= untilMs; at = channel.nextEndMs())
      for (const item of channel.takeEnded(at)) found.set(item, at)
  }
  for (const [item, { atMs, bytes }] of [...loads.entries()].toSorted((a, b) => a[1].atMs - b[1].atMs)) {
    take(atMs)
    channel.start(item, bytes, atMs)
  }
  take(Infinity)
  return found
}

test('loads share the bandwidth; the floor takes none', () => {
  expect(ends([{ atMs: 0, bytes: 10_000 }]).get(0)).toBeCloseTo(10)
  const two = ends([
    { atMs: 0, bytes: 10_000 },
    { atMs: 5, bytes: 10_000 },
  ])
  // 5 alone, then half each: the first has 5,000 left and ends at 15, the second at 20.
  expect(two.get(0)).toBeCloseTo(15, 1)
  expect(two.get(1)).toBeCloseTo(20, 1)
  const floored = ends([{ atMs: 0, bytes: 10_000 }], 7)
  expect(floored.get(0)).toBeCloseTo(17, 1)
})

test('a channel works as long as there is something to load, and loses no load', () => {
  const load = fc.record({ atMs: fc.nat(50), bytes: fc.integer({ min: 1000, max: 50_000 }) })
  fc.assert(
    fc.property(fc.array(load, { minLength: 1, maxLength: 12 }), (loads) => {
      const found = ends(loads)
      expect(found.size).toBe(loads.length)
      let freeMs = 0
      for (const { atMs, bytes } of loads.toSorted((a, b) => a.atMs - b.atMs))
        freeMs = Math.max(freeMs, atMs) + bytes / 1000
      expect(Math.max(...found.values())).toBeCloseTo(freeMs, 0)
    }),
  )
})

test('what a tier has no room for sinks to the next, the least recently used first', () => {
  const profile = engineProfileSchema.parse({
    blockTokens: 16,
    cpuKvTokens: 32,
    lowerTiers: [{ name: 'disk', kvTokens: 32, floorMs: 1, bytesPerMs: 1000 }],
  })
  const tiers = new LowerTiers<number>(profile)
  const told: string[] = []
  const log = {
    removed: (hash: number, tier: number) => told.push(`-${hash}@${tier}`),
    offloaded: (hash: number, tier: number) => told.push(`+${hash}@${tier}`),
  }
  const hashes = { key: (block: number) => block, value: (block: number) => block }
  for (const block of [1, 2, 1, 3]) tiers.store(hashes, block, log)
  // 2 is older than 1, which was renewed.
  expect(told).toEqual(['+1@2', '+2@2', '-2@2', '+2@3', '+3@2'])
  expect([1, 2, 3, 4].map((block) => tiers.find(block))).toEqual([0, 1, 0, -1])
  for (const block of [4, 5]) tiers.store(hashes, block, log)
  expect(tiers.residentHashes(1)).toEqual([1, 3])
})
