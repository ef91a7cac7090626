import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bookedQueueMs } from '../../../worker/plan/booked-queue.ts'

test('as many bookings as endpoints wait for nobody, the next waits behind the shortest', () => {
  expect(bookedQueueMs([], 4)).toBe(0)
  expect(bookedQueueMs([300, 200, 100], 4)).toBe(0)
  expect(bookedQueueMs([300, 200, 100, 400], 4)).toBe(100)
  expect(bookedQueueMs([300, 200, 100, 400, 50], 4)).toBe(150)
  expect(bookedQueueMs([300, 200], 1)).toBe(500)
  expect(bookedQueueMs([300], 0)).toBe(300)
})

test('it is at most an even share, and never falls when a booking is added', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(1000), { maxLength: 50 }),
      fc.integer({ min: 1, max: 8 }),
      fc.nat(1000),
      (bookings, endpoints, one) => {
        const queueMs = bookedQueueMs(bookings, endpoints)
        const totalMs = bookings.reduce((sum, ms) => sum + ms, 0)
        expect(queueMs).toBeLessThanOrEqual(totalMs / endpoints)
        expect(bookedQueueMs([...bookings, one], endpoints)).toBeGreaterThanOrEqual(queueMs)
      },
    ),
  )
})
