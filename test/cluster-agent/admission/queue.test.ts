import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AdmissionQueue, INSIST_AFTER_MS, LOWER_BAND_SHARE } from '../../../cluster-agent/admission/queue.ts'
import { OLDEST_SHARE } from '../../../cluster-agent/admission/fair-band.ts'
import { orderMs, SIZE_FACTOR, type Waiting } from '../../../cluster-agent/admission/waiting.ts'

let ids = 0
function waiting(more: Partial<Waiting> = {}): Waiting {
  return {
    id: `w${ids++}`,
    tenant: 't',
    priority: 0,
    workMs: 100,
    kvTokens: 100,
    bytes: 10,
    arrivedMs: 0,
    deadlineMs: 1e9,
    ...more,
  }
}
const open = (requestsMax = 1000, bytesMax = 1e6) => new AdmissionQueue({ requestsMax, bytesMax })
const all = () => true

function fill(queue: AdmissionQueue, list: readonly Waiting[], nowMs = 0): void {
  for (const one of list) expect(queue.offer(one, 1e6, nowMs).kind).toBe('waits')
}

/** Everybody in the order in which they go. */
function drain(queue: AdmissionQueue, nowMs = 0, fits: (one: Waiting) => boolean = all): Waiting[] {
  const order: Waiting[] = []
  for (let one = queue.next(nowMs, fits); one; one = queue.next(nowMs, fits)) {
    queue.serve(one, nowMs)
    order.push(one)
  }
  return order
}

test('small requests pass a large one, for a while that grows with its size', () => {
  const queue = open()
  const large = waiting({ workMs: 1000 })
  const small = waiting({ workMs: 50, arrivedMs: 10_000 })
  const late = waiting({ workMs: 50, arrivedMs: SIZE_FACTOR * 1000 })
  fill(queue, [large, small, late])
  expect(drain(queue)).toEqual([small, large, late])
})

test('tenants share by work, however many requests one has', () => {
  const queue = open()
  const flood = Array.from({ length: 100 }, () => waiting({ tenant: 'flood' }))
  const modest = Array.from({ length: 3 }, () => waiting({ tenant: 'modest', workMs: 200 }))
  fill(queue, [...flood, ...modest])
  const tenants = drain(queue).map(({ tenant }) => tenant)
  expect(tenants.lastIndexOf('modest')).toBeLessThan(10)
  expect(tenants.slice(0, 9).filter((tenant) => tenant === 'flood').length).toBeGreaterThanOrEqual(4)
})

test('who was away has saved nothing up', () => {
  const queue = open()
  fill(
    queue,
    Array.from({ length: 40 }, () => waiting({ tenant: 'there' })),
  )
  for (let i = 0; i < 20; i++) queue.serve(queue.next(0, all)!, 0)
  fill(
    queue,
    Array.from({ length: 20 }, () => waiting({ tenant: 'new' })),
  )
  const next = drain(queue).slice(0, 10)
  expect(next.filter(({ tenant }) => tenant === 'new').length).toBeLessThanOrEqual(6)
})

test('urgent goes first; the patient get their share all the same', () => {
  const queue = open()
  fill(queue, [
    ...Array.from({ length: 40 }, () => waiting({ priority: -1, tenant: 'p' })),
    ...Array.from({ length: 40 }, () => waiting({ priority: 5, tenant: 'u' })),
  ])
  const order = drain(queue).map(({ priority }) => priority)
  expect(order.slice(0, 10).every((priority) => priority === 5)).toBe(true)
  const whileBoth = order.slice(0, order.lastIndexOf(5) + 1)
  const patient = whileBoth.filter((priority) => priority === -1).length
  expect(patient).toBeGreaterThanOrEqual(Math.floor(40 * LOWER_BAND_SHARE) - 1)
  expect(patient).toBeLessThanOrEqual(6)
})

test('one that finds no space lets others pass until it insists', () => {
  const queue = open()
  const huge = waiting({ kvTokens: 10_000 })
  const others = [waiting({ tenant: 'a' }), waiting({ tenant: 'b', priority: -1 })]
  fill(queue, [huge, ...others])
  const fits = ({ kvTokens }: Waiting) => kvTokens < 1000
  expect(queue.next(0, fits)).toBe(others[0])
  expect(queue.next(INSIST_AFTER_MS, fits)).toBeNull()
  expect(queue.next(INSIST_AFTER_MS, all)).toBe(huge)
})

test('a wait longer than the patience is refused with the time after which to come again', () => {
  const queue = open()
  for (let i = 0; i < 20; i++) queue.offer(waiting(), 2, 0)
  // 20 x 100 ms at two endpoints: one second.
  const offer = queue.offer(waiting({ deadlineMs: 400 }), 2, 0)
  expect(offer).toMatchObject({ kind: 'refused', reason: 'too-long-a-wait', retryAfterMs: 1000 })
  expect(queue.offer(waiting({ deadlineMs: 1200 }), 2, 0).kind).toBe('waits')
  // Another tenant waits for its own share only, an urgent one for nobody here.
  expect(queue.offer(waiting({ deadlineMs: 400, tenant: 'other' }), 2, 0).kind).toBe('waits')
  expect(queue.offer(waiting({ deadlineMs: 100, priority: 1 }), 2, 0).kind).toBe('waits')
})

test('the wait is judged by the pace that was seen, not by the number of endpoints', () => {
  const queue = open()
  for (let i = 0; i < 100; i++) queue.offer(waiting(), 10, 0)
  for (let at = 0; at < 5000; at += 100) queue.serve(queue.next(at, all)!, at)
  const one = waiting({ arrivedMs: 5000 })
  // Half of ten seconds of work is left, and one GPU's worth goes through.
  expect(queue.waitMs(one, 10, 5000)).toBeGreaterThan(4000)
  expect(queue.waitMs(one, 10, 5000)).toBeLessThan(9000)
})

test('a full queue displaces the last of whom holds most, of the least urgent', () => {
  const queue = open(4)
  const flood = Array.from({ length: 4 }, (_, i) => waiting({ tenant: 'flood', arrivedMs: i }))
  fill(queue, flood)
  expect(queue.offer(waiting({ tenant: 'flood' }), 1, 0)).toMatchObject({
    kind: 'refused',
    reason: 'queue-full',
  })
  const modest = waiting({ tenant: 'modest' })
  expect(queue.offer(modest, 1, 0)).toEqual({ kind: 'waits', displaced: [flood[3]] })
  const urgent = waiting({ priority: 1, tenant: 'flood' })
  expect(queue.offer(urgent, 1, 0)).toEqual({ kind: 'waits', displaced: [flood[2]] })
  expect(queue.offer(waiting({ priority: -1 }), 1, 0)).toMatchObject({ reason: 'queue-full' })
  expect(queue.size).toBe(4)
})

test('bytes are bounded; when it does not come in nobody has left for it', () => {
  const queue = open(10, 100)
  fill(queue, [waiting({ bytes: 40, priority: -1 }), waiting({ bytes: 50, priority: 1 })])
  expect(queue.offer(waiting({ bytes: 101, priority: 9 }), 1, 0)).toMatchObject({ reason: 'queue-full' })
  expect(queue.offer(waiting({ bytes: 60 }), 1, 0)).toMatchObject({ reason: 'queue-full' })
  expect([queue.size, queue.bytes]).toEqual([2, 90])
  expect(queue.offer(waiting({ bytes: 50 }), 1, 0)).toMatchObject({
    kind: 'waits',
    displaced: [{ bytes: 40 }],
  })
})

test('who leaves, is late, or is cleared away frees its place', () => {
  const queue = open()
  const [a, b, c] = [waiting({ deadlineMs: 500 }), waiting(), waiting()]
  fill(queue, [a, b, c])
  expect(queue.leave(b.id)).toBe(b)
  expect(queue.leave(b.id)).toBeNull()
  expect(queue.expire(499)).toEqual([])
  expect(queue.expire(500)).toEqual([a])
  expect(queue.clear()).toEqual([c])
  expect([queue.size, queue.bytes, queue.queuedMs]).toEqual([0, 0, 0])
})

const request = fc.record({
  tenant: fc.constantFrom('a', 'b', 'c', 'd'),
  priority: fc.constantFrom(0, 0, 0, 3, -2),
  workMs: fc.integer({ min: 1, max: 3000 }),
  kvTokens: fc.integer({ min: 1, max: 100 }),
  bytes: fc.integer({ min: 1, max: 50 }),
})

test('no starvation: nobody is passed, within its tenant, by one that came more than its size allows later', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(request, fc.nat(2000)), { maxLength: 80, size: 'max' }), (arrivals) => {
      const queue = open()
      let nowMs = 0
      const list = arrivals.map(([fields, gapMs]) => {
        nowMs += gapMs
        return waiting({ ...fields, priority: 0, arrivedMs: nowMs })
      })
      fill(queue, list)
      const order = drain(queue, nowMs)
      expect(order.length).toBe(list.length)
      for (const [at, one] of order.entries())
        for (const earlier of order.slice(0, at)) {
          if (earlier.tenant !== one.tenant) continue
          expect(earlier.arrivedMs).toBeLessThanOrEqual(one.arrivedMs + SIZE_FACTOR * one.workMs)
          // Only the one that had waited longest may go before its turn.
          if (earlier.arrivedMs > one.arrivedMs) expect(orderMs(earlier)).toBeLessThanOrEqual(orderMs(one))
        }
    }),
    { numRuns: 100 },
  )
})

test('no starvation within a tenant: a large request goes when a tenth of what passed it has paid for it', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 100, max: 20_000 }),
      fc.integer({ min: 1, max: 90 }),
      (largeMs, smallMs) => {
        const queue = open()
        const large = waiting({ workMs: largeMs })
        fill(queue, [large])
        let passedMs = 0
        for (let nowMs = 1; ; nowMs++) {
          queue.offer(waiting({ workMs: smallMs, arrivedMs: nowMs }), 1e6, nowMs)
          const next = queue.next(nowMs, all)!
          queue.serve(next, nowMs)
          if (next === large) break
          passedMs += next.workMs
          expect(passedMs).toBeLessThanOrEqual(largeMs / OLDEST_SHARE + smallMs)
        }
      },
    ),
    { numRuns: 30 },
  )
})

test('no starvation across bands and sizes: under an endless stream of urgent work everybody goes', () => {
  fc.assert(
    fc.property(fc.array(request, { minLength: 1, maxLength: 10 }), (held) => {
      const queue = open()
      const mine = held.map((fields) => waiting({ ...fields, tenant: `m ${fields.tenant}`, priority: -5 }))
      fill(queue, mine)
      const left = new Set(mine)
      const boundMs = mine.reduce((sum, { workMs }) => sum + workMs, 0)
      let urgentMs = 0
      let nowMs = 0
      while (left.size > 0) {
        nowMs += 50
        queue.offer(waiting({ priority: 5, workMs: 50, arrivedMs: nowMs }), 1e6, nowMs)
        const next = queue.next(nowMs, all)
        if (!next) break
        queue.serve(next, nowMs)
        if (!left.delete(next)) urgentMs += next.workMs
        // A share of a tenth: after ten times their work they are through.
        if (urgentMs > (boundMs + 3000) / LOWER_BAND_SHARE) break
      }
      expect(left.size).toBe(0)
    }),
    { numRuns: 50 },
  )
})

test('fairness: while two tenants wait, what they were served differs by less than a largest request of each', () => {
  fc.assert(
    fc.property(
      fc.array(request, { minLength: 2, maxLength: 60, size: 'max' }),
      fc.infiniteStream(request),
      (held, more) => {
        const queue = open()
        const at0 = held.map((fields) => waiting({ ...fields, priority: 0 }))
        fill(queue, at0)
        const servedMs = new Map<string, number>()
        const waitingOf = (tenant: string) =>
          [...at0].filter((one) => one.tenant === tenant && present.has(one))
        const present = new Set(at0)
        const backlogged = new Set([...present].map(({ tenant }) => tenant))
        for (let i = 0; i < 60 && present.size > 0; i++) {
          const next = queue.next(0, all)!
          queue.serve(next, 0)
          present.delete(next)
          servedMs.set(next.tenant, (servedMs.get(next.tenant) ?? 0) + next.workMs)
          // Tenants that were there from the start and still are.
          for (const tenant of backlogged) if (waitingOf(tenant).length === 0) backlogged.delete(tenant)
          for (const one of backlogged)
            for (const other of backlogged) {
              const gap = Math.abs((servedMs.get(one) ?? 0) - (servedMs.get(other) ?? 0))
              expect(gap).toBeLessThanOrEqual(2 * 3000)
            }
          // Somebody new comes and goes without changing that.
          const extra = waiting({ ...more.next().value, tenant: `x${i}`, priority: 0, bytes: 1 })
          queue.offer(extra, 1e6, 0)
          queue.leave(extra.id)
        }
      },
    ),
    { numRuns: 100 },
  )
})

test('whatever comes, goes, leaves and is late: the counts are those of who is there, and the bounds hold', () => {
  const step = fc.record({
    kind: fc.constantFrom('offer', 'offer', 'offer', 'serve', 'leave', 'expire'),
    fields: request,
    patienceMs: fc.integer({ min: 1, max: 4000 }),
    gapMs: fc.nat(300),
    at: fc.nat(30),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150, size: 'max' }), (steps) => {
      const queue = open(8, 200)
      const present = new Map<string, Waiting>()
      let nowMs = 0
      for (const { kind, fields, patienceMs, gapMs, at } of steps) {
        nowMs += gapMs
        if (kind === 'offer') {
          const one = waiting({ ...fields, arrivedMs: nowMs, deadlineMs: nowMs + patienceMs })
          const offer = queue.offer(one, 2, nowMs)
          if (offer.kind === 'refused') expect(offer.retryAfterMs).toBeGreaterThanOrEqual(1000)
          else {
            for (const { id } of offer.displaced) expect(present.delete(id)).toBe(true)
            present.set(one.id, one)
          }
        }
        const next = kind === 'serve' ? queue.next(nowMs, ({ kvTokens }) => kvTokens < 90) : null
        if (next) {
          queue.serve(next, nowMs)
          expect(present.delete(next.id)).toBe(true)
        }
        if (kind === 'leave') {
          const id = [...present.keys()][at % Math.max(present.size, 1)] ?? ''
          expect(queue.leave(id) !== null).toBe(present.delete(id))
        }
        if (kind === 'expire') for (const { id } of queue.expire(nowMs)) present.delete(id)
        const list = [...present.values()]
        expect(queue.size).toBe(list.length)
        expect(queue.bytes).toBe(list.reduce((sum, { bytes }) => sum + bytes, 0))
        expect(queue.queuedMs).toBeCloseTo(
          list.reduce((sum, { workMs }) => sum + workMs, 0),
          6,
        )
        expect(queue.size).toBeLessThanOrEqual(8)
        expect(queue.bytes).toBeLessThanOrEqual(200)
      }
    }),
    { numRuns: 150 },
  )
})
