import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Bookings, LEASE_MS } from '../../../cluster-agent/routing/bookings.ts'
import { IDLE } from '../../../cluster-agent/routing/endpoint.ts'

test('bookings count down while prefill proceeds and return to zero', () => {
  const bookings = new Bookings([1000, 1000])
  bookings.bookPrefill(0, 'a', 100, 200, 0)
  bookings.bookPrefill(0, 'b', 50, 100, 10, { newTokens: 90 })
  bookings.bookDecode(0, 'c', 200, 10, 50)
  expect(bookings.load(0, 40)).toEqual({
    backlogMs: 110,
    backlogTokens: 90,
    pinnedTokens: 500,
    kvPressure: 0.5,
    decoding: 1,
    contextTokens: 175,
    answerTokens: 50,
  })
  // The head takes longer than predicted: it counts as nearly done, never as negative.
  expect(bookings.load(0, 500).backlogMs).toBe(50)
  bookings.releasePrefill(0, 'a', 500)
  expect(bookings.load(0, 520).backlogMs).toBe(30)
  bookings.releasePrefill(0, 'b', 530)
  bookings.releasePrefill(0, 'b', 530)
  bookings.releaseDecode(0, 'c')
  expect(bookings.load(0, 540)).toEqual(IDLE)
  expect(bookings.count).toBe(0)
})

test('a sequence decodes from its first token on, also when it was prefilled elsewhere', () => {
  const bookings = new Bookings([1000, 1000])
  bookings.bookPrefill(0, 'a', 100, 0, 0)
  bookings.bookDecode(0, 'a', 200, 0)
  bookings.bookPrefill(0, 'split', 100, 0, 0)
  bookings.bookDecode(1, 'split', 200, 0)
  expect(bookings.load(0, 10).decoding).toBe(0)
  bookings.releasePrefill(0, 'a', 100)
  expect([bookings.load(0, 100).decoding, bookings.load(1, 100).decoding]).toEqual([1, 1])
})

test('a silent prefill ends when its time has passed, one after another', () => {
  const bookings = new Bookings([1000])
  for (const id of ['a', 'b', 'c']) {
    bookings.bookPrefill(0, id, 100, 0, 0, { isSilent: true })
    bookings.bookDecode(0, id, 10, 0)
  }
  expect(bookings.load(0, 150)).toMatchObject({ backlogMs: 150, decoding: 1 })
  expect(bookings.load(0, 320)).toMatchObject({ backlogMs: 0, decoding: 3 })
})

test('a booking that nobody releases expires, one that is renewed does not', () => {
  const bookings = new Bookings([1000])
  bookings.bookPrefill(0, 'a', 100, 1, 0)
  bookings.bookDecode(0, 'a', 1, 0)
  bookings.bookDecode(0, 'b', 1, 0)
  bookings.bookDecode(0, 'c', 1, 1)
  bookings.renewDecode(0, 'b', LEASE_MS - 1)
  expect(bookings.load(0, LEASE_MS)).toMatchObject({ backlogMs: 0, decoding: 2 })
  expect(bookings.countOf(0, LEASE_MS + 1)).toBe(1)
  expect(bookings.countOf(0, 2 * LEASE_MS)).toBe(0)
})

test('space that sequences share is not counted twice once the engine has said so', () => {
  const bookings = new Bookings([1000])
  bookings.bookDecode(0, 'a', 800, 0)
  bookings.setPinnedShare(0, 0.5)
  expect(bookings.load(0, 0)).toMatchObject({ pinnedTokens: 400, kvPressure: 0.4 })
  bookings.setCapacity(0, 400)
  expect(bookings.load(0, 0).kvPressure).toBe(1)
})

test('however completions, aborts and expiry interleave, what is booked is what is open, and in the end nothing', () => {
  const step = fc.record({
    kind: fc.constantFrom('open', 'open', 'token', 'renew', 'close', 'abort', 'wait', 'again'),
    at: fc.nat(20),
    endpoint: fc.nat(2),
    other: fc.nat(2),
    ms: fc.integer({ min: 1, max: 5000 }),
    tokens: fc.integer({ min: 1, max: 500 }),
    isSilent: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const bookings = new Bookings([5000, 5000, 5000])
      const open: { id: string; p: number; d: number; tokens: number }[] = []
      let nowMs = 0
      let ids = 0
      for (const { kind, at, endpoint, other, ms, tokens, isSilent } of steps) {
        nowMs += ms / 10
        const one = open[at % Math.max(open.length, 1)]
        if (kind === 'open') {
          const id = `r${ids++}`
          bookings.bookPrefill(endpoint, id, ms, endpoint === other ? 0 : tokens, nowMs, { isSilent })
          bookings.bookDecode(other, id, tokens, nowMs, 10)
          open.push({ id, p: endpoint, d: other, tokens })
        }
        if (kind === 'wait') nowMs += ms
        if (!one) continue
        if (kind === 'again') bookings.bookDecode(one.d, one.id, one.tokens, nowMs, 10)
        if (kind === 'token' || kind === 'close') bookings.releasePrefill(one.p, one.id, nowMs)
        if (kind === 'renew') bookings.renewDecode(one.d, one.id, nowMs)
        if (kind === 'close' || kind === 'abort') {
          bookings.releasePrefill(one.p, one.id, nowMs)
          bookings.releaseDecode(one.d, one.id)
          open.splice(open.indexOf(one), 1)
        }
        for (const endpoint of [0, 1, 2]) {
          const load = bookings.load(endpoint, nowMs)
          const mine = open.filter(({ d }) => d === endpoint)
          expect(load.decoding).toBeLessThanOrEqual(mine.length)
          expect(load.pinnedTokens).toBeGreaterThanOrEqual(mine.reduce((sum, { tokens }) => sum + tokens, 0))
          expect(load.backlogMs).toBeGreaterThanOrEqual(0)
        }
      }
      // Half of what is left is closed; the rest is lost and expires.
      for (const { id, p, d } of open.splice(0, open.length >> 1)) {
        bookings.releasePrefill(p, id, nowMs)
        bookings.releaseDecode(d, id)
      }
      nowMs += LEASE_MS
      for (const endpoint of [0, 1, 2]) expect(bookings.load(endpoint, nowMs)).toEqual(IDLE)
      expect(bookings.count).toBe(0)
    }),
    { numRuns: 200 },
  )
})
