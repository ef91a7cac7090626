import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ResidencyMap } from '../../../directory/residency/residency-map.ts'

const COLUMNS = 16
const key = fc.record({
  // Few low halves, so that probes collide and wrap.
  lo: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 1020, max: 1023 }), fc.nat(0xffffffff)),
  hi: fc.integer({ min: 0, max: 5 }),
})
const column = fc.integer({ min: 0, max: COLUMNS - 1 })
const command = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({
      kind: fc.constant('set' as const),
      key,
      column,
      tier: fc.integer({ min: 0, max: 14 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('clear' as const), column }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('sweep' as const), slots: fc.integer({ min: 1, max: 3000 }) }),
  },
)

test('it holds what a plain map holds', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 400, size: 'max' }), (commands) => {
      const map = new ResidencyMap(2 ** 16)
      const model = new Map<string, Map<number, number>>()
      for (const step of commands) {
        if (step.kind === 'sweep') map.sweep(step.slots)
        else if (step.kind === 'clear') {
          map.clearColumn(step.column)
          for (const tiers of model.values()) tiers.delete(step.column)
        } else {
          const { lo, hi } = step.key
          map.set(lo, hi, step.column, step.tier)
          const tiers = model.get(`${lo} ${hi}`) ?? new Map<number, number>()
          model.set(`${lo} ${hi}`, tiers)
          if (step.tier === 0) tiers.delete(step.column)
          else tiers.set(step.column, step.tier)
        }
      }
      const held = [...model].filter(([, tiers]) => tiers.size > 0)
      expect(map.size).toBeGreaterThanOrEqual(held.length)
      for (let c = 0; c < COLUMNS; c++) {
        expect(map.columnSize(c)).toBe(held.filter(([, tiers]) => tiers.has(c)).length)
      }
      const differences = () =>
        [...model].filter(([name, tiers]) => {
          const [lo, hi] = name.split(' ').map(Number) as [number, number]
          return Array.from(
            { length: COLUMNS },
            (_, c) => map.get(lo, hi, c) !== (tiers.get(c) ?? 0),
          ).includes(true)
        })
      expect(differences()).toEqual([])
      // Two passes see every slot, wherever the first began.
      map.sweep(2 ** 12)
      expect(map.size).toBe(held.length)
      expect(differences()).toEqual([])
    }),
    { numRuns: 100 },
  )
})

test('the match is the deepest resident marker of each column', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ index: fc.integer({ min: 0, max: 9 }), column, tier: fc.integer({ min: 1, max: 4 }) }),
        { maxLength: 60, size: 'max' },
      ),
      (entries) => {
        const map = new ResidencyMap(1024)
        const deepest = new Map<number, { index: number; tier: number }>()
        for (const { index, column, tier } of entries) {
          map.set(index * 7, 1, column, tier)
          const known = deepest.get(column)
          if (!known || index >= known.index) deepest.set(column, { index, tier })
        }
        const markers = Uint32Array.from(
          Array.from({ length: 10 }, (_, i) => [(i + 1) * 100, i * 7, 1]).flat(),
        )
        const { offsetBytes, nibbles } = map.match(markers)
        for (let c = 0; c < COLUMNS; c++) {
          const expected = deepest.get(c)
          expect(offsetBytes[c]).toBe(expected ? (expected.index + 1) * 100 : 0)
          expect(nibbles[c]).toBe(expected?.tier ?? 0)
        }
      },
    ),
  )
})

test('it grows to its bound, then the least recently asked go first', () => {
  const map = new ResidencyMap(4096)
  const keyAt = (i: number) => Math.imul(i + 1, 0x9e3779b1) >>> 0
  const asked = Array.from({ length: 200 }, (_, i) => keyAt(i))
  for (let i = 0; i < 20_000; i++) {
    map.set(keyAt(i), i, 0, 1)
    if (i >= 200 && i % 100 === 0) {
      for (const [j, lo] of asked.entries()) map.match(Uint32Array.from([256, lo, j]))
    }
  }
  expect(map.size).toBe(map.entriesMax)
  expect(map.entriesMax).toBe(3584)
  const kept = asked.filter((lo, j) => map.get(lo, j, 0) === 1).length
  expect(kept).toBe(200)
})

test('a full map whose column is cleared is empty, and takes new keys', () => {
  const map = new ResidencyMap(1024)
  for (let i = 0; i < 2000; i++) map.set(i * 31, i, i % 3, 1)
  for (const c of [0, 1, 2]) map.clearColumn(c)
  for (const c of [0, 1, 2]) expect(map.columnSize(c)).toBe(0)
  expect(map.get(0, 0, 0)).toBe(0)
  map.sweep(4096)
  expect(map.size).toBe(0)
  map.set(5, 5, 3, 2)
  expect(map.get(5, 5, 3)).toBe(2)
})

test('columns are cleared more often than there are epochs, between sweeps of any length', () => {
  const map = new ResidencyMap(2048)
  for (let round = 0; round < 200; round++) {
    const c = round % COLUMNS
    const held = () => new Set(Array.from({ length: 40 }, (_, i) => map.get(i * 37, i, c)))
    for (let i = 0; i < 40; i++) map.set(i * 37, i, c, 1 + (round % 4))
    map.sweep(round % 7)
    expect(held()).toEqual(new Set([1 + (round % 4)]))
    map.clearColumn(c)
    expect(held()).toEqual(new Set([0]))
    expect(map.columnSize(c)).toBe(0)
  }
})

test('a slot has 16 bytes, and 32 MiB hold 1.8 million entries', () => {
  const map = new ResidencyMap(2 ** 21)
  expect(map.entriesMax).toBe(1_835_008)
  for (let i = 0; i < 900; i++) map.set(Math.imul(i + 1, 0x9e3779b1) >>> 0, i, 0, 1)
  expect(map.bytes).toBe(2048 * 16)
})
