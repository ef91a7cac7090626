import fc from 'fast-check'
import { expect, test } from 'vitest'
import { choose } from '../../core/choose.ts'

test('rules come before prices and the first objection is the reason', () => {
  const choice = choose(
    [1, 2, 3, 4],
    [(n) => (n % 2 === 0 ? 'even' : null), (n) => (n > 2 ? 'large' : null)],
    (n) => n,
  )
  expect(choice.ranked).toEqual([{ candidate: 1, costMs: 1 }])
  expect(choice.rejected).toEqual([
    { candidate: 2, reason: 'even' },
    { candidate: 3, reason: 'large' },
    { candidate: 4, reason: 'even' },
  ])
})

test('a cost that is no number rejects its candidate', () => {
  const choice = choose(['a', 'b', 'c'], [], (c) => ({ a: Number.NaN, b: 5, c: Infinity })[c] ?? 0)
  expect(choice.ranked.map((r) => r.candidate)).toEqual(['b'])
  expect(choice.rejected.map((r) => r.reason)).toEqual(['unpriceable', 'unpriceable'])
})

test('every candidate is ranked or rejected, cheapest first, ties in the order given', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ id: fc.nat(), cost: fc.nat(5), bad: fc.boolean() })), (candidates) => {
      const { ranked, rejected } = choose(candidates, [(c) => (c.bad ? 'bad' : null)], (c) => c.cost)
      expect(ranked.length + rejected.length).toBe(candidates.length)
      for (let i = 1; i < ranked.length; i++) {
        const [before, after] = [ranked[i - 1]!, ranked[i]!]
        expect(before.costMs).toBeLessThanOrEqual(after.costMs)
        if (before.costMs === after.costMs) {
          expect(candidates.indexOf(before.candidate)).toBeLessThan(candidates.indexOf(after.candidate))
        }
      }
    }),
  )
})
