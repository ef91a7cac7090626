import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LEASE_HOLD_MS, SETTLE_MS_MAX } from '../../../tenancy/limits/holdings.ts'
import { LedgerWorld, MODEL, NANO_USD_PER_TOKEN, newBook, outcome, terms } from '../ledger-world.ts'

const BUDGET = { nanoUsd: 100_000 * NANO_USD_PER_TOKEN, period: 'month' } as const
const SMALL_BUDGET = { nanoUsd: 40_000 * NANO_USD_PER_TOKEN, period: 'month' } as const
const NEED = { requests: 1, tokens: 1000, nanoUsd: 1000 * NANO_USD_PER_TOKEN }
const NOTHING = { admitted: [], ended: [], released: [], returned: [] }

type Command =
  | { kind: 'ask'; isolate: number; reserved: number; excess: number; answerLost: boolean }
  | { kind: 'settle'; index: number; times: number }
  | { kind: 'end'; index: number }
  | { kind: 'report'; isolate: number; isLost: boolean }
  | { kind: 'crash'; isolate: number }
  | { kind: 'pass'; ms: number }

/** Many runs on a machine that does other things too. */
const TEST_MS_MAX = 60_000

const nat = fc.nat({ max: 999 })
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('ask' as const),
      isolate: nat,
      reserved: fc.integer({ min: 1, max: 9000 }),
      // Now and then an engine counts more than was set aside.
      excess: fc.oneof(
        { weight: 4, arbitrary: fc.constant(-0.5) },
        { weight: 1, arbitrary: fc.constant(0.3) },
      ),
      answerLost: fc.oneof(
        { weight: 6, arbitrary: fc.constant(false) },
        { weight: 1, arbitrary: fc.constant(true) },
      ),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('settle' as const),
      index: nat,
      times: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('end' as const), index: nat }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('report' as const), isolate: nat, isLost: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), isolate: nat }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 90_000 }) }),
  },
)

function play(world: LedgerWorld, step: Command): void {
  switch (step.kind) {
    case 'ask':
      world.ask(step.isolate, step.reserved, Math.ceil(step.reserved * (1 + step.excess)), step.answerLost)
      break
    case 'settle':
      world.settle(step.index, step.times)
      break
    case 'end':
      world.end(step.index)
      break
    case 'report':
      world.report(step.isolate, step.isLost)
      break
    case 'crash':
      world.crash(step.isolate)
      break
    case 'pass':
      world.pass(step.ms)
  }
}

const worlds = fc.record({
  isolates: fc.integer({ min: 1, max: 50 }),
  commands: fc.array(command, { minLength: 60, maxLength: 250, size: 'max' }),
})

describe('B1: with many isolates, whatever they do', () => {
  test(
    'spent never exceeds the budget by more than requests cost beyond their reservations',
    () => {
      fc.assert(
        fc.property(worlds, ({ isolates, commands }) => {
          const world = new LedgerWorld(isolates, terms({ budget: SMALL_BUDGET }))
          for (const step of commands) {
            play(world, step)
            expect(world.spentNanoUsd()).toBeLessThanOrEqual(SMALL_BUDGET.nanoUsd + world.excessNanoUsd)
          }
          // Everything that was let pass is settled in the end.
          for (const [index] of world.requests.entries()) world.settle(index)
          expect(world.spentNanoUsd()).toBeLessThanOrEqual(SMALL_BUDGET.nanoUsd + world.excessNanoUsd)
          const cost = world.requests.reduce(
            (sum, { actualTokens }) => sum + actualTokens * NANO_USD_PER_TOKEN,
            0,
          )
          expect(world.spentNanoUsd()).toBe(cost)
        }),
        { numRuns: 80 },
      )
    },
    TEST_MS_MAX,
  )

  test(
    'no more than the concurrent maximum are under way',
    () => {
      fc.assert(
        fc.property(worlds, fc.integer({ min: 1, max: 20 }), ({ isolates, commands }, concurrentMax) => {
          const world = new LedgerWorld(isolates, terms({ concurrentMax }))
          for (const step of commands) {
            play(world, step)
            expect(world.running.length).toBeLessThanOrEqual(concurrentMax)
          }
        }),
        { numRuns: 80 },
      )
    },
    TEST_MS_MAX,
  )

  test(
    'over any time at most a burst and the rate pass',
    () => {
      const bursts = fc.array(
        fc.record({
          isolate: nat,
          requests: fc.integer({ min: 1, max: 80 }),
          pauseMs: fc.nat({ max: 20_000 }),
        }),
        { minLength: 5, maxLength: 30, size: 'max' },
      )
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 6 }),
          bursts,
          fc.integer({ min: 1, max: 300 }),
          (isolates, bursts, perMinute) => {
            const world = new LedgerWorld(isolates, terms({ requestsPerMinute: perMinute }))
            const startMs = world.nowMs
            for (const { isolate, requests, pauseMs } of bursts) {
              for (let i = 0; i < requests; i++) world.ask(isolate, 1, 1)
              const elapsedMs = world.nowMs - startMs
              expect(world.requests.length).toBeLessThanOrEqual(perMinute * (1 + elapsedMs / 60_000) + 1e-3)
              world.pass(pauseMs)
            }
          },
        ),
        { numRuns: 80 },
      )
    },
    TEST_MS_MAX,
  )
})

test('a busy isolate crosses the ocean once for many requests', () => {
  const world = new LedgerWorld(1, terms({ requestsPerMinute: 60_000 }))
  for (let i = 0; i < 1000; i++) world.ask(0, 10, 10)
  expect(world.requests).toHaveLength(1000)
  expect(world.leasesAsked).toBeLessThan(30)
})

test('the last of a budget is not stranded in leases', () => {
  const world = new LedgerWorld(20, terms({ budget: BUDGET }))
  let passed = 0
  for (let i = 0; i < 400; i++) if (world.ask(i, 1000, 1000)) passed++
  // What isolates hold unused is free again after their leases' ends.
  world.pass(5000 + LEASE_HOLD_MS)
  for (let i = 0; i < 400; i++) if (world.ask(i, 1000, 1000)) passed++
  expect(passed).toBeGreaterThan(80)
  expect(passed).toBeLessThanOrEqual(100)
})

describe('settlement', () => {
  const ended = { endedMs: 1000, promptTokens: 100, cachedTokens: 40, outputTokens: 10 }

  test('cached, uncached and output tokens have their own prices', () => {
    const book = newBook()
    const prices = { [MODEL]: { uncachedUsd: 2, cachedUsd: 0.25, outputUsd: 8 } }
    book.report({ terms: terms({ prices }), ...NOTHING }, 0)
    book.takeOutcomes([outcome('a', ended)], 1000)
    expect(book.balance(1000).spentNanoUsd).toBe(60 * 2000 + 40 * 250 + 10 * 8000)
  })

  test('an outcome that comes before its prices is priced when they come, once', () => {
    const book = newBook()
    book.takeOutcomes([outcome('a', ended)], 1000)
    expect(book.balance(1000).spentNanoUsd).toBe(0)
    for (let i = 0; i < 2; i++) book.report({ terms: terms(), ...NOTHING }, 2000)
    expect(book.balance(2000).spentNanoUsd).toBe(60 * 1000 + 40 * 100 + 10 * 1000)
    expect([...book.drain().changes.usage.values()]).toMatchObject([{ requests: 1, uncachedTokens: 60 }])
  })

  test('any order and repetition of outcomes gives the same', () => {
    const tries = [
      outcome('a', { ...ended, attempt: 1, end: 'failed', promptTokens: null, outputTokens: null }),
      outcome('a', { ...ended, attempt: 2, end: 'client-left', outputTokens: 0 }),
      outcome('a', { ...ended, attempt: 3 }),
      outcome('b', ended),
    ]
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 3 }), { maxLength: 20 }),
        fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }),
        (noise, order) => {
          const book = newBook()
          book.report({ terms: terms(), ...NOTHING }, 0)
          for (const index of [...noise, ...order]) book.takeOutcomes([tries[index]!], 2000)
          expect(book.balance(2000).spentNanoUsd).toBe(2 * (60 * 1000 + 40 * 100 + 10 * 1000))
          const usage = [...book.drain().changes.usage.values()]
          expect(usage).toMatchObject([
            { requests: 2, uncachedTokens: 120, cachedTokens: 80, outputTokens: 20, lostRequests: 0 },
          ])
        },
      ),
    )
  })

  test('an outcome before its admission, and an admission told twice, hold nothing', () => {
    const book = newBook()
    const limited = terms({ budget: BUDGET, tokensPerMinute: 100_000 })
    const granted = book.lease({ terms: limited, ...NOTHING, need: NEED, wantRequests: 1 }, 0)
    if (granted.kind !== 'granted') throw new Error('refused')
    const { lease } = granted.lease
    book.takeOutcomes([outcome('a', ended)], 1000)
    const admitted = [{ requestId: 'a', lease, model: MODEL, tokens: 1000, nanoUsd: NEED.nanoUsd }]
    for (let i = 0; i < 2; i++) book.report({ terms: limited, ...NOTHING, admitted }, 1000)
    book.report({ terms: limited, ...NOTHING, returned: [lease] }, 1000)
    expect(book.balance(1000)).toMatchObject({ heldNanoUsd: 0, underWay: 0 })
    // The estimate is back in the bucket, what was used is taken; a second's refill caps it.
    const next = book.lease(
      { terms: limited, ...NOTHING, need: { ...NEED, tokens: 1 }, wantRequests: 1 },
      1000,
    )
    expect(next.limits.tokens?.remaining).toBe(100_000 - 1)
  })

  test('an answer whose engine reported no usage costs what was set aside', () => {
    const book = newBook()
    const admitted = [{ requestId: 'a', lease: null, model: MODEL, tokens: 500, nanoUsd: 0 }]
    book.report({ terms: terms(), ...NOTHING, admitted }, 0)
    book.takeOutcomes(
      [outcome('a', { promptTokens: null, cachedTokens: null, outputTokens: 20, endedMs: 10 })],
      10,
    )
    expect(book.balance(10).spentNanoUsd).toBe(500 * NANO_USD_PER_TOKEN)
  })

  test('a request that no cluster took is free, until an agent says otherwise', () => {
    const book = newBook()
    const admitted = [{ requestId: 'a', lease: null, model: MODEL, tokens: 500, nanoUsd: 5 }]
    book.report({ terms: terms(), ...NOTHING, admitted, released: ['a'] }, 0)
    expect(book.balance(0)).toMatchObject({ spentNanoUsd: 0, heldNanoUsd: 0, underWay: 0 })
    book.takeOutcomes([outcome('a', { ...ended, end: 'client-left' })], 1000)
    expect(book.balance(1000).spentNanoUsd).toBeGreaterThan(0)
    expect([...book.drain().changes.usage.values()][0]).toMatchObject({ requests: 1 })
  })

  test('an outcome that never comes is found: the request is lost, its money free; a late one still counts', () => {
    const book = newBook()
    const limited = terms({ budget: BUDGET })
    const admitted = [{ requestId: 'a', lease: null, model: MODEL, tokens: 500, nanoUsd: BUDGET.nanoUsd }]
    book.report({ terms: limited, ...NOTHING, admitted }, 0)
    const ask = { terms: limited, ...NOTHING, need: NEED, wantRequests: 1 }
    expect(book.lease(ask, 1000)).toMatchObject({ kind: 'refused', limit: 'budget', retryAfterMs: 2000 })
    expect(book.nextDueMs()).toBe(SETTLE_MS_MAX)
    book.sweep(SETTLE_MS_MAX)
    expect([...book.drain().changes.usage.values()]).toMatchObject([{ requests: 0, lostRequests: 1 }])
    expect(book.lease(ask, SETTLE_MS_MAX)).toMatchObject({ kind: 'granted' })
    book.takeOutcomes([outcome('a', { ...ended, endedMs: SETTLE_MS_MAX })], SETTLE_MS_MAX + 1)
    expect(book.balance(SETTLE_MS_MAX + 1).spentNanoUsd).toBe(60 * 1000 + 40 * 100 + 10 * 1000)
  })

  test('what is forgotten is not settled again, whatever clock its agent has', () => {
    const dayMs = 24 * 3_600_000
    for (const skewMs of [0, 50_000, 400 * dayMs, -50_000]) {
      const book = newBook()
      const admitted = [{ requestId: 'a', lease: null, model: MODEL, tokens: 500, nanoUsd: 0 }]
      book.report({ terms: terms(), ...NOTHING, admitted }, dayMs)
      const told = outcome('a', { ...ended, endedMs: dayMs + 1000 + skewMs })
      book.takeOutcomes([told], dayMs + 1000)
      const { spentNanoUsd } = book.balance(dayMs + 1000)
      expect(spentNanoUsd).toBeGreaterThan(0)
      book.sweep(2 * dayMs + 2000)
      book.takeOutcomes([told], 2 * dayMs + 2000)
      expect(book.balance(dayMs + 1000).spentNanoUsd).toBe(spentNanoUsd)
      expect(book.balance(2 * dayMs + 2000).spentNanoUsd).toBe(spentNanoUsd)
    }
  })

  test('a budget starts anew with its period, and says when', () => {
    const book = newBook()
    const limited = terms({ budget: { nanoUsd: NEED.nanoUsd, period: 'day' } })
    const noonMs = Date.UTC(2026, 10, 25, 12)
    book.report({ terms: limited, ...NOTHING }, noonMs)
    book.takeOutcomes([outcome('a', { promptTokens: 1000, endedMs: noonMs })], noonMs)
    const ask = { terms: limited, ...NOTHING, need: NEED, wantRequests: 1 }
    expect(book.lease(ask, noonMs)).toMatchObject({ limit: 'budget', retryAfterMs: 12 * 3_600_000 })
    expect(book.lease(ask, noonMs + 12 * 3_600_000)).toMatchObject({ kind: 'granted' })
  })
})

test('a request larger than a minute of tokens passes when the minute is whole, and is paid back', () => {
  const book = newBook()
  const limited = terms({ tokensPerMinute: 1000 })
  const ask = { terms: limited, ...NOTHING, need: { ...NEED, tokens: 2500 }, wantRequests: 1 }
  expect(book.lease(ask, 0)).toMatchObject({ kind: 'granted' })
  expect(book.lease(ask, 60_000)).toMatchObject({ limit: 'tokens', retryAfterMs: 90_000 })
  expect(book.lease(ask, 150_000)).toMatchObject({ kind: 'granted' })
})

test('prices and models of strange names are no prototype', () => {
  const book = newBook()
  book.report({ terms: terms({ prices: {} }), ...NOTHING }, 0)
  for (const model of ['constructor', '__proto__', 'toString']) {
    book.takeOutcomes([outcome(`r-${model}`, { model, promptTokens: 5, endedMs: 10 })], 10)
  }
  expect(book.balance(10).spentNanoUsd).toBe(0)
  expect([...book.drain().changes.usage.values()].map(({ model }) => model)).toHaveLength(3)
})
