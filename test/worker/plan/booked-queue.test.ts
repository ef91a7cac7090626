import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bookedQueueMs } from '../../../worker/plan/booked-queue.ts'

test('as many bookings as idle endpoints wait for nobody, the next waits behind the shortest', () => {
  const idle = [0, 0, 0, 0]
  expect(bookedQueueMs([], idle)).toBe(0)
  expect(bookedQueueMs([300, 200, 100], idle)).toBe(0)
  expect(bookedQueueMs([300, 200, 100, 400], idle)).toBe(100)
  expect(bookedQueueMs([300, 200, 100, 400, 50], idle)).toBe(150)
  expect(bookedQueueMs([300, 200], [0])).toBe(500)
})

test('queues that stand already take bookings only when they are the shortest', () => {
  expect(bookedQueueMs([300], [100, 900, 900, 900])).toBe(300)
  expect(bookedQueueMs([300, 300, 300], [100, 900])).toBe(800)
  expect(bookedQueueMs([300], [])).toBe(0)
})

test('they add at most their sum, and never less for one more', () => {
  const queues = fc.array(fc.nat(5000), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(
      fc.array(fc.nat(1000), { maxLength: 50 }),
      queues,
      fc.nat(1000),
      (bookings, standing, one) => {
        const addedMs = bookedQueueMs(bookings, standing)
        expect(addedMs).toBeLessThanOrEqual(bookings.reduce((sum, ms) => sum + ms, 0))
        expect(bookedQueueMs([...bookings, one], standing)).toBeGreaterThanOrEqual(addedMs)
      },
    ),
  )
})
