import { expect, test } from 'vitest'
import { Tally } from '../../../cluster-agent/vitals/tally.ts'

test('a bucket holds what is at most its bound, and all lower ones', () => {
  const tally = new Tally([1, 2, 4])
  for (const value of [0, 1, 1.5, 4, 4.1, 100]) tally.observe(value)
  expect(tally.cumulative()).toEqual([2, 3, 4])
  expect([tally.count, tally.sum]).toEqual([6, 110.6])
})
