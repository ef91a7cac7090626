import { describe, expect, test } from 'vitest'
import { Bookings, BOOKING_MS_MAX } from '../../../worker/memory/bookings.ts'
import { Breaker, BREAKER_FAILURES } from '../../../worker/memory/breaker.ts'
import {
  LOOKUP_COPY_MS_MAX,
  RecentLookups,
  RECENT_LOOKUP_MS_MAX,
} from '../../../worker/memory/recent-lookups.ts'
import { SPECULATIONS_MAX } from '../../../core/speculations.ts'
import { RoundTrips } from '../../../worker/memory/round-trips.ts'
import { Versions } from '../../../worker/memory/versions.ts'
import { known } from '../plan/candidates.ts'

describe('breaker', () => {
  function broken(nowMs = 0): Breaker {
    const breaker = new Breaker()
    for (let i = 0; i < BREAKER_FAILURES; i++) breaker.fail('c', nowMs)
    return breaker
  }

  test('opens after failures in a row, for its cluster only', () => {
    const breaker = new Breaker()
    for (let i = 1; i < BREAKER_FAILURES; i++) breaker.fail('c', 0)
    breaker.succeed('c')
    breaker.fail('c', 0)
    expect(breaker.isOpen('c', 0)).toBe(false)
    expect(broken().isOpen('c', 0)).toBe(true)
    expect(broken().isOpen('d', 0)).toBe(false)
  })

  test('lets one probe through, which closes it or opens it for longer', () => {
    const breaker = broken()
    expect(breaker.isOpen('c', 999)).toBe(true)
    expect(breaker.isOpen('c', 1000)).toBe(false)
    breaker.begin('c', 1000)
    expect(breaker.isOpen('c', 1000)).toBe(true)
    breaker.fail('c', 1100)
    expect(breaker.isOpen('c', 3000)).toBe(true)
    expect(breaker.isOpen('c', 3100)).toBe(false)
    breaker.begin('c', 3100)
    breaker.succeed('c')
    expect(breaker.isOpen('c', 3100)).toBe(false)
  })

  test('a probe that says nothing lets the next one try', () => {
    const breaker = broken()
    breaker.begin('c', 1000)
    breaker.abandon('c')
    expect(breaker.isOpen('c', 1000)).toBe(false)
    breaker.begin('c', 1000)
    expect(breaker.isOpen('c', 1000 + 15_000)).toBe(false)
  })

  test('the wait has a bound, and late failures of one outage do not double it', () => {
    const breaker = broken()
    for (let i = 0; i < 50; i++) breaker.fail('c', 10)
    expect(breaker.isOpen('c', 1000)).toBe(false)
    for (let nowMs = 1000, i = 0; i < 20; i++, nowMs += 8000) breaker.fail('c', nowMs)
    expect(breaker.isOpen('c', 1000 + 19 * 8000 + 8000)).toBe(false)
  })
})

describe('bookings', () => {
  const markers = Uint32Array.from([256, 1, 2, 512, 3, 4])

  test('count until a heartbeat can have seen them, or they expire', () => {
    const bookings = new Bookings()
    bookings.book('c', 100, markers, 1000)
    bookings.book('c', 50, markers, 1500)
    expect(bookings.booked('c', 900, 1600)).toEqual([100, 50])
    expect(bookings.booked('c', 1200, 1600)).toEqual([50])
    expect(bookings.booked('c', 0, 1500 + BOOKING_MS_MAX)).toEqual([])
    expect(bookings.booked('d', 0, 1600)).toEqual([])
  })

  test('speculate on the deepest shared marker until they expire or are retracted', () => {
    const bookings = new Bookings()
    bookings.book('c', 100, markers, 0)
    const sibling = Uint32Array.from([256, 1, 2, 512, 9, 9])
    expect([...bookings.speculativeBytes(markers, 1)]).toEqual([['c', 512]])
    expect([...bookings.speculativeBytes(sibling, 1)]).toEqual([['c', 256]])
    expect([...bookings.speculativeBytes(markers, BOOKING_MS_MAX)]).toEqual([])
    bookings.retract('c', markers)
    expect([...bookings.speculativeBytes(markers, 1)]).toEqual([])
  })

  test('are bounded', () => {
    const bookings = new Bookings()
    const last = 4 * SPECULATIONS_MAX
    for (let i = 0; i <= last; i++) bookings.book('c', i, Uint32Array.from([256, i, 7]), i / last)
    const newest = Array.from({ length: 512 }, (_, i) => last - 511 + i)
    const booked = bookings.booked('c', -1, 1)
    expect(booked).toEqual(newest)
    booked.push(1)
    expect(bookings.booked('c', -1, 1)).toEqual(newest)
    expect(bookings.speculativeBytes(Uint32Array.from([256, 0, 7]), 1).size).toBe(0)
    expect(bookings.speculativeBytes(Uint32Array.from([256, last, 7]), 1).size).toBe(1)
  })
})

describe('round trips', () => {
  test('begin with what is configured and follow what is measured', () => {
    const trips = new RoundTrips()
    expect(trips.estimateMs('us', 'c', 80, false)).toBe(80)
    expect(trips.estimateMs('us', 'c', undefined, true)).toBeLessThan(
      trips.estimateMs('us', 'c', undefined, false),
    )
    for (let i = 0; i < 200; i++) trips.record('us', 'c', 120, trips.estimateMs('us', 'c', 80, false))
    expect(trips.estimateMs('us', 'c', 80, false)).toBeCloseTo(120, 0)
    expect(trips.estimateMs('eu', 'c', 80, false)).toBe(80)
  })

  test('are what a request pays on average: half of them open a connection first', () => {
    const trips = new RoundTrips()
    for (let i = 0; i < 200; i++)
      trips.record('us', 'c', i % 2 === 0 ? 90 : 180, trips.estimateMs('us', 'c', 90, false))
    expect(Math.abs(trips.estimateMs('us', 'c', 90, false) - 135)).toBeLessThan(10)
  })

  test('one slow sample moves them little, nonsense not at all', () => {
    const trips = new RoundTrips()
    trips.record('us', 'c', 60_000, 80)
    expect(trips.estimateMs('us', 'c', 80, false)).toBeLessThan(120)
    trips.record('us', 'd', -5, 80)
    trips.record('us', 'd', Number.NaN, 80)
    expect(trips.estimateMs('us', 'd', 80, false)).toBe(80)
  })
})

test('a recent lookup serves its load for a second, never its matches', () => {
  const recent = new RecentLookups()
  const markers = Uint32Array.from([256, 1, 2])
  recent.remember(
    'us',
    { model: 'm', markers },
    [known('c', { matchedBytes: 512, loads: { backlogMs: 7 } }), { cluster: 'd', state: 'unknown' }],
    0,
  )
  expect(recent.recall('us', 'm', 400)).toMatchObject([
    { cluster: 'c', matchedBytes: 0, tier: 0, ageMs: 500, load: { backlogMs: 7 } },
    { cluster: 'd', state: 'unknown' },
  ])
  // The same question is answered whole from the copy, for a shorter while.
  expect(recent.copy('us', { model: 'm', markers }, 400)).toMatchObject([
    { cluster: 'c', matchedBytes: 512, ageMs: 500 },
    { cluster: 'd', state: 'unknown' },
  ])
  expect(recent.copy('us', { model: 'm', markers }, LOOKUP_COPY_MS_MAX + 1)).toBeNull()
  expect(recent.copy('us', { model: 'm', markers: Uint32Array.from([512, 1, 2, 768, 5, 6]) }, 1)).toBeNull()
  expect(recent.copy('us', { model: 'm', markers: new Uint32Array() }, 1)).toBeNull()
  expect(recent.recall('us', 'm', RECENT_LOOKUP_MS_MAX + 1)).toBeNull()
  expect(recent.recall('us', 'other', 1)).toBeNull()
  expect(recent.recall('eu', 'm', 1)).toBeNull()
})

test('a copy answers its own question only, also where another has come to its place', () => {
  const recent = new RecentLookups()
  const question = { model: 'm', markers: Uint32Array.from([256, 1, 2]) }
  const same = [
    Uint32Array.from([512, 1, 2]),
    Uint32Array.from([256, 4097, 2]),
    Uint32Array.from([256, 1, 3]),
  ]
  recent.remember('us', question, [known('c')], 0)
  for (const markers of same) expect(recent.copy('us', { model: 'm', markers }, 1)).toBeNull()
  expect(recent.copy('us', { ...question, model: 'other' }, 1)).toBeNull()
  expect(recent.copy('eu', question, 1)).toBeNull()
  expect(recent.copy('us', question, 1)).toMatchObject([{ cluster: 'c' }])
  recent.remember('us', { model: 'm', markers: same[1] as Uint32Array }, [known('d')], 1)
  expect(recent.copy('us', question, 2)).toBeNull()
  expect(recent.copy('us', { model: 'm', markers: same[1] as Uint32Array }, 2)).toMatchObject([
    { cluster: 'd' },
  ])
})

test('the newest version of a name counts, whichever directory says it', () => {
  const versions = new Versions()
  expect(versions.latest('policies')).toBeNull()
  versions.learn({ policies: 5 })
  versions.learn({ policies: 4, keys: 0 })
  expect(versions.latest('policies')).toBe(5)
  expect(versions.latest('keys')).toBe(0)
  for (let i = 0; i < 1000; i++) versions.learn({ [`name-${i}`]: i })
  expect(versions.latest('name-999')).toBeNull()
})
