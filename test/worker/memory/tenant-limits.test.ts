import { describe, expect, test } from 'vitest'
import { REPORT_ENTRIES_MAX } from '../../../protocol/tenancy.ts'
import { LEASE_HOLD_MS } from '../../../tenancy/limits/holdings.ts'
import { SingleFlight } from '../../../worker/memory/single-flight.ts'
import { TenantLimits } from '../../../worker/memory/tenant-limits.ts'
import { LedgerWorld, MODEL, newBook, terms } from '../../tenancy/ledger-world.ts'

const NEED = { requests: 1, tokens: 10, nanoUsd: 10 }
const LIMITS = { requests: { limit: 60, remaining: 50, resetMs: 10_000 }, tokens: null }

function granted(lifeMs = 5000) {
  const lease = { lease: 'l', requests: 2, tokens: null, nanoUsd: 100, slots: 2, lifeMs }
  return { kind: 'granted', lease, limits: LIMITS } as const
}

function headersOf(limits: TenantLimits, nowMs: number): Record<string, string> {
  const headers = {}
  limits.putHeaders(headers, nowMs)
  return headers
}

describe('a lease', () => {
  test('holds for its requests, its places and its life, counted from the asking', () => {
    const limits = new TenantLimits()
    expect(limits.take('a', MODEL, NEED, 0)).toBe(false)
    limits.accept(granted(), 1000)
    expect(limits.take('a', MODEL, NEED, 1000)).toBe(true)
    expect(headersOf(limits, 1000)).toEqual({
      'x-ratelimit-limit-requests': '60',
      'x-ratelimit-remaining-requests': '51',
      'x-ratelimit-reset-requests': '10.000s',
    })
    expect(limits.take('big', MODEL, { ...NEED, nanoUsd: 91 }, 1000)).toBe(false)
    expect(limits.take('late', MODEL, NEED, 6000)).toBe(false)
    expect(limits.take('b', MODEL, NEED, 5999)).toBe(true)
    expect(limits.take('c', MODEL, NEED, 5999)).toBe(false)
  })

  test('goes back with what was admitted, and grows with demand', () => {
    const limits = new TenantLimits()
    limits.takeReport(terms(), true, 0)
    limits.accept(granted(), 0)
    limits.take('a', MODEL, NEED, 0)
    limits.end('a')
    expect(limits.takeReport(terms(), true, 10)).toMatchObject({
      admitted: [{ requestId: 'a', lease: 'l', tokens: 10, nanoUsd: 10 }],
      returned: ['l'],
    })
    expect(limits.wantRequests).toBe(2)
    limits.accept(granted(), 10)
    limits.takeReport(terms(), true, 10_000)
    expect(limits.wantRequests).toBe(1)
    expect(limits.hasNews).toBe(false)
  })

  test('is for no more requests than a report tells of, however many there are', () => {
    const limits = new TenantLimits()
    for (let i = 0; i < 20; i++) {
      limits.accept(granted(), 0)
      limits.takeReport(terms(), true, 10)
    }
    expect(limits.wantRequests).toBe(REPORT_ENTRIES_MAX)
  })

  test('a request that outlives its lease is told to have ended', () => {
    const limits = new TenantLimits()
    limits.accept(granted(), 0)
    limits.take('a', MODEL, NEED, 0)
    limits.takeReport(terms(), true, 10)
    limits.end('a')
    expect(limits.takeReport(terms(), false, 10).ended).toEqual(['a'])
  })

  test('a report that did not arrive is told again', () => {
    const limits = new TenantLimits()
    limits.accept(granted(), 0)
    limits.take('a', MODEL, NEED, 0)
    limits.release('a')
    const report = limits.takeReport(terms(), false, 10)
    limits.putBack(report)
    expect(limits.takeReport(terms(), false, 20)).toEqual(report)
  })

  test('a refusal holds as long as it is true, and a moment at most; a place that is free ends it', () => {
    const limits = new TenantLimits()
    const refuse = (limit: 'budget' | 'concurrency', retryAfterMs: number) =>
      limits.accept({ kind: 'refused', limit, retryAfterMs, limits: LIMITS }, 0)
    refuse('budget', 300)
    expect([limits.refusal(299), limits.refusal(300)]).toEqual([{ limit: 'budget', retryAfterMs: 1 }, null])
    refuse('budget', 60_000)
    expect([limits.refusal(999)?.retryAfterMs, limits.refusal(1000)]).toEqual([59_001, null])
    refuse('concurrency', 60_000)
    limits.end('a')
    expect(limits.refusal(1)).toBeNull()
  })
})

test('what has ended makes room at once, whatever became of its lease', () => {
  const world = new LedgerWorld(3, terms({ concurrentMax: 3 }))
  for (let round = 0; round < 5; round++) {
    for (let isolate = 0; isolate < 3; isolate++) expect(world.ask(isolate, 1, 1)).toBe(true)
    expect(world.ask(0, 1, 1)).toBe(false)
    while (world.running.length > 0) world.end(0)
    world.pass(5000 + LEASE_HOLD_MS)
  }
})

test('many asks of an idle tenant need one lease each time it wakes', () => {
  const book = newBook()
  expect(book.nextDueMs()).toBeNull()
  const world = new LedgerWorld(1, terms({ requestsPerMinute: 600 }))
  for (let i = 0; i < 5; i++) {
    world.ask(0, 1, 1)
    world.pass(6000)
  }
  expect(world.leasesAsked).toBe(5)
})

describe('one asks for all', () => {
  test('those who come meanwhile wait, and are woken together', async () => {
    const flights = new SingleFlight(500)
    const leader = flights.join('t', 0)
    const riders = [flights.join('t', 1), flights.join('t', 2)]
    expect([leader.isLeader, ...riders.map(({ isLeader }) => isLeader)]).toEqual([true, false, false])
    expect(flights.join('other', 2).isLeader).toBe(true)
    if (leader.isLeader) leader.land()
    for (const rider of riders) if (!rider.isLeader) await rider.landed
    expect(flights.join('t', 3).isLeader).toBe(true)
  })

  test('a leader that vanished is replaced, and its riders are woken by the next', async () => {
    const flights = new SingleFlight(500)
    const gone = flights.join('t', 0)
    const rider = flights.join('t', 1)
    const next = flights.join('t', 500)
    expect(next.isLeader).toBe(true)
    if (next.isLeader) next.land()
    if (!rider.isLeader) await rider.landed
    // What the first does later ends nobody else's flight.
    const third = flights.join('t', 600)
    if (gone.isLeader) gone.land()
    expect([third.isLeader, flights.join('t', 601).isLeader]).toEqual([true, false])
  })
})
