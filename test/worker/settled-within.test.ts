import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { oneTimer } from '../../worker/settled-within.ts'

beforeEach(() => {
  vi.useFakeTimers({ now: 1000 })
})
afterEach(() => {
  vi.useRealTimers()
})

const never = new Promise<void>(() => undefined)

test('each wait ends at its own time, or with its promise', async () => {
  const settles = oneTimer()
  const ended: string[] = []
  const watch = (name: string, wait: Promise<boolean>) =>
    wait.then((isSettled) => ended.push(`${name} ${isSettled} at ${Date.now() - 1000}`))
  let settle = () => undefined as void
  void watch('long', settles(never, 60_000))
  void watch('short', settles(never, 100))
  void watch('settled', settles(new Promise<void>((resolve) => (settle = resolve)), 5000))
  void watch('rejected', settles(Promise.reject(new Error('no')), 5000))
  await vi.advanceTimersByTimeAsync(99)
  expect(ended).toEqual(['rejected true at 0'])
  await vi.advanceTimersByTimeAsync(901)
  settle()
  await vi.advanceTimersByTimeAsync(59_000)
  expect(ended.slice(1)).toEqual(['short false at 100', 'settled true at 1000', 'long false at 60000'])
  expect(vi.getTimerCount()).toBe(0)
})

test('waits of a request that is soon over share one timer', async () => {
  const settles = oneTimer()
  const waits = [60_000, 30_000, 250, 12_000, 300].map((waitMs) => settles(Promise.resolve(), waitMs))
  expect(vi.getTimerCount()).toBe(1)
  expect(await Promise.all(waits)).toEqual(waits.map(() => true))
  expect(await settles(Promise.resolve(), 500)).toBe(true)
  expect(vi.getTimerCount()).toBe(1)
  await vi.advanceTimersByTimeAsync(250)
  expect(vi.getTimerCount()).toBe(0)
})
