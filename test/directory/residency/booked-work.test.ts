import { expect, test } from 'vitest'
import {
  AGENT_MS,
  BOOKING_MS_MAX,
  BOOKINGS_KEPT_MAX,
  BOOKINGS_TOLD_MAX,
  BookedWork,
} from '../../../directory/residency/booked-work.ts'
import { Speculations, SPECULATIONS_MAX } from '../../../core/speculations.ts'

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

test('what several isolates sent to several clusters is told apart', () => {
  const sent = new Speculations()
  sent.enter(MARKERS, 'c', 1, 100)
  sent.enter(MARKERS.subarray(0, 3), 'd', 2, 50)
  expect(sent.deepest(MARKERS, 3, 10)).toEqual(
    new Map([
      ['c', 512],
      ['d', 256],
    ]),
  )
  expect(sent.deepest(MARKERS, 1, 10)).toEqual(new Map([['d', 256]]))
  expect(sent.deepest(MARKERS, 3, 50)).toEqual(new Map([['c', 512]]))
  // Who comes later stands for all before.
  sent.enter(MARKERS, 'c', 3, 200)
  expect(sent.deepest(MARKERS, 3, 60)).toBeNull()
  expect(sent.deepest(MARKERS, 1, 199)).toEqual(new Map([['c', 512]]))
})

test('bookings are bounded; the oldest go first', () => {
  const work = new BookedWork()
  for (let i = 0; i < BOOKINGS_KEPT_MAX + 100; i++) work.note(1, note({ workMs: i }), 0)
  const told = work.booked('c', -1, 2, 0)
  expect(told).toHaveLength(BOOKINGS_TOLD_MAX)
  expect(told.at(-1)).toBe(BOOKINGS_KEPT_MAX + 99)
})

test('speculations are bounded: of more than there is room for, those that end last stay', () => {
  const sent = new Speculations()
  const last = 4 * SPECULATIONS_MAX
  for (let i = 1; i <= last; i++) sent.enter(Uint32Array.from([256, i, 7]), 'c', 1, i)
  const stands = (i: number) => sent.deepest(Uint32Array.from([256, i, 7]), 2, 0) !== null
  let standing = 0
  for (let i = 1; i <= last; i++) if (stands(i)) standing++
  expect(standing).toBe(SPECULATIONS_MAX)
  expect([stands(1), stands(last)]).toEqual([false, true])
})

test('of more clusters than can be told apart the newest are remembered', () => {
  const sent = new Speculations()
  for (let i = 0; i < 1000; i++) sent.enter(MARKERS, `cluster-${i}`, 1, 100)
  const found = sent.deepest(MARKERS, 2, 0)
  expect(found?.get('cluster-999')).toBe(512)
  expect([...(found?.keys() ?? [])].every((name) => Number(name.slice(8)) >= 745)).toBe(true)
})
