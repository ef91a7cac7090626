import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ModelLoad } from '../../../protocol/report.ts'
import { bookedQueues } from '../../../worker/plan/booked-queue.ts'
import { LOAD } from '../../directory/fake-agent.ts'

function load(queuesMs: readonly [number, ...number[]], change: Partial<ModelLoad> = {}): ModelLoad {
  const [backlogMs, ...otherBacklogsMs] = queuesMs
  return { ...LOAD, backlogMs, otherBacklogsMs, ...change }
}

function addedMs(bookingsMs: readonly number[], queuesMs: readonly [number, ...number[]]): number {
  return bookedQueues(bookingsMs, load(queuesMs)).prefillMs
}

test('as many bookings as idle endpoints wait for nobody, the next waits behind the shortest', () => {
  const idle = [0, 0, 0, 0] as const
  expect(addedMs([], idle)).toBe(0)
  expect(addedMs([300, 200, 100], idle)).toBe(0)
  expect(addedMs([300, 200, 100, 400], idle)).toBe(100)
  expect(addedMs([300, 200, 100, 400, 50], idle)).toBe(150)
  expect(addedMs([300, 200], [0])).toBe(500)
})

test('queues that stand already take bookings only when they are the shortest', () => {
  expect(addedMs([300], [100, 900, 900, 900])).toBe(300)
  expect(addedMs([300, 300, 300], [100, 900])).toBe(800)
})

test('where only the shortest queue is told the others are like it; without a load there is one', () => {
  const { otherBacklogsMs: _, ...old } = load([50], { endpoints: 2 })
  expect(bookedQueues([300, 200], old)).toEqual({ prefillMs: 200, decodersMs: [] })
  expect(bookedQueues([300, 200], null)).toEqual({ prefillMs: 500, decodersMs: [] })
})

test('an idle endpoint that decodes takes the booking that would wait or be handed over, once', () => {
  const idle = { backlogMs: 0, stallShare: 0, comingPerMs: 0 }
  const handingOver = load([0], { handoffMs: 20, decoders: [idle, idle] })
  expect(bookedQueues([900], handingOver)).toEqual({ prefillMs: 0, decodersMs: [900, 0] })
  expect(bookedQueues([900, 700, 500], handingOver)).toEqual({ prefillMs: 500, decodersMs: [900, 700] })
})

test('what a booking disturbs there keeps long ones away and lets short ones in', () => {
  const busy = { backlogMs: 100, stallShare: 0.5, comingPerMs: 0.002 }
  const behind = load([1000], { handoffMs: 20, decoders: [busy] })
  expect(bookedQueues([200], behind)).toEqual({ prefillMs: 0, decodersMs: [200] })
  expect(bookedQueues([5000], behind)).toEqual({ prefillMs: 5000, decodersMs: [0] })
})

test('they add at most their sum, and never less for one more', () => {
  const queues = fc.array(fc.nat(5000), { minLength: 1, maxLength: 8 })
  const decoder = fc.record({
    backlogMs: fc.nat(5000),
    stallShare: fc.double({ min: 0, max: 1, noNaN: true }),
    comingPerMs: fc.double({ min: 0, max: 0.01, noNaN: true }),
  })
  fc.assert(
    fc.property(
      fc.array(fc.nat(1000), { maxLength: 50, size: 'max' }),
      queues,
      fc.array(decoder, { maxLength: 4 }),
      fc.nat(1000),
      (bookings, standing, decoders, one) => {
        const all = load(standing as [number, ...number[]], { decoders })
        const added = bookedQueues(bookings, all)
        const sum = (values: readonly number[]) => values.reduce((total, ms) => total + ms, 0)
        expect(added.prefillMs + sum(added.decodersMs)).toBeLessThanOrEqual(sum(bookings))
        const more = bookedQueues([...bookings, one], all)
        expect(more.prefillMs).toBeGreaterThanOrEqual(added.prefillMs)
        expect(sum(more.decodersMs)).toBeGreaterThanOrEqual(sum(added.decodersMs))
      },
    ),
  )
})
