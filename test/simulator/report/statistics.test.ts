import { expect, test } from 'vitest'
import { quantile } from '../../../simulator/report/metrics.ts'
import { interval, knee, pairedGain } from '../../../simulator/report/statistics.ts'

test('a 95 % interval by Student, and none of one value', () => {
  const { mean, half } = interval([1, 2, 3, 4, 5])
  expect(mean).toBe(3)
  expect(half).toBeCloseTo(2.776 * Math.sqrt(2.5 / 5), 6)
  expect(interval([7])).toEqual({ mean: 7, half: null })
})

test('gains are paired by seed', () => {
  const { mean, half } = pairedGain([50, 100], [100, 200])
  expect([mean, half]).toEqual([-0.5, 0])
  expect(pairedGain([1, 5], [0, 10]).mean).toBe(-0.5)
})

test('the knee lies between the points around the bound, in the logarithm', () => {
  const points = [
    { load: 2, y: 4000 },
    { load: 1, y: 1000 },
  ]
  expect(knee(points, 2000)).toBeCloseTo(1.5)
  expect(knee(points, 500)).toBeNull()
  expect(knee(points, 9000)).toBe(Infinity)
})

test('a quantile is the least value with that share at or below it', () => {
  expect([0.5, 0.9, 1].map((q) => quantile([1, 2, 3, 4], q))).toEqual([2, 4, 4])
  expect(quantile([], 0.9)).toBe(0)
})
