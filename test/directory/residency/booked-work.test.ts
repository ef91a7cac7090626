import { expect, test } from 'vitest'
import {
  AGENT_MS,
  BOOKING_MS_MAX,
  BOOKINGS_TOLD_MAX,
  BookedWork,
  SPECULATIONS_MAX,
} from '../../../directory/residency/booked-work.ts'

const MARKERS = Uint32Array.from([256, 1, 2, 512, 3, 4])
const note = (fields = {}) => ({
  cluster: 'c',
  workMs: 100,
  markers: MARKERS,
  agoMs: 0,
  rttMs: 40,
  ...fields,
})

test('a booking counts for others until a heartbeat can have counted it, or for two seconds', () => {
  const work = new BookedWork()
  work.note(1, note(), 1000)
  expect(work.booked('c', 1000, 2, 1010)).toEqual([100])
  expect(work.booked('c', 1000, 1, 1010)).toEqual([])
  expect(work.booked('d', 1000, 2, 1010)).toEqual([])
  expect(work.booked('c', 1000 + 40 + AGENT_MS - 1, 2, 1200)).toEqual([100])
  expect(work.booked('c', 1000 + 40 + AGENT_MS, 2, 1200)).toEqual([])
  expect(work.booked('c', 0, 2, 1000 + BOOKING_MS_MAX)).toEqual([])
})

test('what was sent a while before the lookup is that much older', () => {
  const work = new BookedWork()
  work.note(1, note({ agoMs: 300 }), 1000)
  expect(work.booked('c', 0, 2, 700 + BOOKING_MS_MAX - 1)).toEqual([100])
  expect(work.booked('c', 0, 2, 700 + BOOKING_MS_MAX)).toEqual([])
})

test('a prompt is expected where others have just sent it, to the depth that is shared', () => {
  const work = new BookedWork()
  expect(work.speculativeBytes(MARKERS, 2, 0)).toBeNull()
  work.note(1, note(), 0)
  const sibling = Uint32Array.from([256, 1, 2, 512, 9, 9])
  expect(work.speculativeBytes(MARKERS, 2, 1)?.get('c')).toBe(512)
  expect(work.speculativeBytes(sibling, 2, 1)?.get('c')).toBe(256)
  expect(work.speculativeBytes(MARKERS, 1, 1)).toBeNull()
  expect(work.speculativeBytes(MARKERS, 2, BOOKING_MS_MAX)).toBeNull()
})

test.each([{ workMs: -1 }, { workMs: Number.NaN }, { agoMs: -1 }, { agoMs: 1e9 }, { rttMs: Number.NaN }])(
  'nonsense is as good as no note: %o',
  (fields) => {
    const work = new BookedWork()
    work.note(1, note(fields), 1000)
    expect(work.booked('c', 0, 2, 1000)).toEqual([])
    expect(work.speculativeBytes(MARKERS, 2, 1000)).toBeNull()
  },
)

test('it is bounded', () => {
  const work = new BookedWork()
  for (let i = 0; i < SPECULATIONS_MAX + 100; i++) {
    work.note(1, note({ workMs: i, markers: Uint32Array.from([256, i, 7]) }), 0)
  }
  const told = work.booked('c', -1, 2, 0)
  expect(told).toHaveLength(BOOKINGS_TOLD_MAX)
  expect(told.at(-1)).toBe(SPECULATIONS_MAX + 99)
  expect(work.speculativeBytes(Uint32Array.from([256, 0, 7]), 2, 1)).toBeNull()
  expect(work.speculativeBytes(Uint32Array.from([256, 5000, 7]), 2, 1)?.get('c')).toBe(256)
})
