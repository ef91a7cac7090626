import { describe, expect, test } from 'vitest'
import { FailureWatch, HINT_MS_MAX } from '../../../directory/residency/failure-watch.ts'
import { Freshness } from '../../../directory/residency/freshness.ts'
import { HotRoots } from '../../../directory/residency/hot-roots.ts'
import { PathTimes, PATHS_MAX, SAMPLES_KEPT } from '../../../directory/residency/path-times.ts'

describe('path times', () => {
  test('are the median of what a location measured, and nothing of fewer than three samples', () => {
    const paths = new PathTimes()
    for (const rttMs of [20, 22]) paths.note('IAD', 'c', rttMs, 0)
    expect(paths.estimateMs('IAD', 'c', 0)).toBeNull()
    paths.note('IAD', 'c', 5000, 0)
    expect(paths.estimateMs('IAD', 'c', 0)).toBe(22)
    expect(paths.estimateMs('FRA', 'c', 0)).toBeNull()
  })

  test('outliers below half do not move them far, a new route does', () => {
    const paths = new PathTimes()
    for (let i = 0; i < SAMPLES_KEPT; i++) paths.note('IAD', 'c', i % 2 === 0 ? 20 : 9000, 0)
    expect(paths.estimateMs('IAD', 'c', 0)).toBe(20)
    for (let i = 0; i < SAMPLES_KEPT; i++) paths.note('IAD', 'c', 80, 0)
    expect(paths.estimateMs('IAD', 'c', 0)).toBe(80)
  })

  test('nonsense, old measurements and too many paths', () => {
    const paths = new PathTimes()
    for (const rttMs of [-1, Number.NaN, Infinity, 60_000]) paths.note('IAD', 'c', rttMs, 0)
    expect(paths.estimateMs('IAD', 'c', 0)).toBeNull()
    for (let i = 0; i < 3; i++) paths.note('IAD', 'c', 20, 0)
    expect(paths.estimateMs('IAD', 'c', 600_001)).toBeNull()
    for (let i = 0; i < PATHS_MAX; i++) paths.note(`C${i}`, 'c', 20, 0)
    expect(paths.estimateMs('IAD', 'c', 0)).toBeNull()
  })
})

test('a cluster fails for everybody after three failures in a row, for a short while, or until a success', () => {
  const watch = new FailureWatch()
  watch.note('c', 0, 2, 0)
  expect(watch.isFailing('c', 0)).toBe(false)
  watch.note('c', 0, 1, 100)
  expect(watch.isFailing('c', 100)).toBe(true)
  expect(watch.isFailing('d', 100)).toBe(false)
  expect(watch.isFailing('c', 100 + HINT_MS_MAX + 1)).toBe(false)
  watch.note('c', 0, 3, 3000)
  watch.note('c', 1, 0, 3001)
  expect(watch.isFailing('c', 3002)).toBe(false)
  watch.note('c', 0, Number.NaN, 3002)
  watch.note('c', 0, 2, 3002)
  expect(watch.isFailing('c', 3002)).toBe(false)
})

test('freshness is a histogram with upper bounds for quantiles', () => {
  const freshness = new Freshness()
  expect(freshness.quantileMs(0.5)).toBeNull()
  freshness.note(30, 98)
  freshness.note(140, 2)
  expect(freshness.quantileMs(0.5)).toBe(40)
  expect(freshness.quantileMs(0.99)).toBe(150)
  freshness.note(99_999, 1000)
  expect(freshness.quantileMs(0.99)).toBeNull()
  expect(freshness.counts().reduce((sum, { changes }) => sum + changes, 0)).toBe(1100)
})

test('the hottest roots are found among many others', () => {
  const roots = new HotRoots()
  for (let i = 0; i < 20_000; i++) {
    roots.note(Uint32Array.from([256, i % 3 === 0 ? 7 : i, 1]))
    roots.note(new Uint32Array())
  }
  expect(roots.lookups).toBe(40_000)
  const [hottest] = roots.hottest()
  expect(hottest?.key).toBe('0000000100000007')
  expect(roots.hottest()).toHaveLength(10)
})
