import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HedgeBudget } from '../../../worker/memory/hedge-budget.ts'
import { LastHeard } from '../../../worker/memory/last-heard.ts'
import { TtftRatios } from '../../../worker/memory/ttft-ratios.ts'

test('duplicates never exceed the earned share and what may be saved up', () => {
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { maxLength: 2000, size: 'max' }),
      fc.constantFrom(0.01, 0.05, 0.2),
      (wants, share) => {
        const budget = new HedgeBudget()
        let spent = 0
        for (const [index, isWanted] of wants.entries()) {
          budget.earn('t', share)
          if (isWanted && budget.spend('t')) spent++
          expect(spent).toBeLessThanOrEqual((index + 1) * share + 1e-6)
        }
      },
    ),
  )
  const saved = new HedgeBudget()
  for (let i = 0; i < 10_000; i++) saved.earn('t', 0.2)
  expect(Array.from({ length: 10 }, () => saved.spend('t')).filter(Boolean)).toHaveLength(4)
  expect(saved.spend('another')).toBe(false)
})

test('the quantile of ratios is that of the last ones, and never says that a request is late too early', () => {
  const ratios = new TtftRatios()
  expect(ratios.quantile(0.9)).toBe(3)
  for (let i = 0; i < 300; i++) ratios.record(50, 100)
  expect(ratios.quantile(0.9)).toBe(1)
  for (let i = 0; i < 256; i++) ratios.record(i < 200 ? 100 : 500, 100)
  expect(ratios.quantile(0.5)).toBe(1)
  expect(ratios.quantile(0.9)).toBe(5)
  ratios.record(Number.NaN, 100)
  ratios.record(100, 0)
  expect(ratios.quantile(0.9)).toBe(5)
})

test('a cluster is heard of for as long as is asked', () => {
  const heard = new LastHeard()
  expect(heard.isWithin('a', 1000, 0)).toBe(false)
  heard.hear('a', 100)
  expect([heard.isWithin('a', 50, 150), heard.isWithin('a', 50, 151)]).toEqual([true, false])
})
