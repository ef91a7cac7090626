import { expect, test } from 'vitest'
import { BookingNotes } from '../../../worker/memory/booking-notes.ts'
import { Bookings } from '../../../worker/memory/bookings.ts'
import { Breaker } from '../../../worker/memory/breaker.ts'
import { RoundTrips } from '../../../worker/memory/round-trips.ts'
import { Sightings } from '../../../worker/memory/sightings.ts'

const MARKERS = Uint32Array.from([256, 1, 2])
const rttMs = () => 30

test('each directory hears of each booking once, while it means something', () => {
  const notes = new BookingNotes()
  const bookings = new Bookings(notes)
  bookings.book('c', 100, MARKERS, 1000)
  expect(notes.take('us', rttMs, 1200)).toEqual([
    { cluster: 'c', workMs: 100, markers: MARKERS, agoMs: 200, rttMs: 30 },
  ])
  expect(notes.take('us', rttMs, 1201)).toEqual([])
  expect(notes.take('eu', rttMs, 1201)).toHaveLength(1)
  expect(notes.take('ap', rttMs, 4000)).toEqual([])
})

test('a booking that came to nothing is not told', () => {
  const notes = new BookingNotes()
  const bookings = new Bookings(notes)
  bookings.book('c', 100, MARKERS, 0)
  bookings.book('d', 100, MARKERS, 0)
  bookings.retract('c', MARKERS)
  expect(notes.take('us', rttMs, 1).map(({ cluster }) => cluster)).toEqual(['d'])
})

test('the directory hears how clusters serve, once, and round trips of its own region only', () => {
  const sightings = new Sightings()
  const breaker = new Breaker(sightings)
  const trips = new RoundTrips(sightings)
  breaker.fail('c', 0)
  breaker.fail('c', 0)
  breaker.succeed('d')
  trips.record('us', 'c', 25, 30)
  trips.record('eu', 'c', 95, 90)
  expect(sightings.take('us', ['c', 'd', 'e'])).toEqual([
    { cluster: 'c', successes: 0, failures: 2, rttsMs: [25] },
    { cluster: 'd', successes: 1, failures: 0, rttsMs: [] },
  ])
  expect(sightings.take('us', ['c', 'd'])).toEqual([])
  expect(sightings.take('eu', ['c'])).toEqual([{ cluster: 'c', successes: 0, failures: 0, rttsMs: [95] }])
})
