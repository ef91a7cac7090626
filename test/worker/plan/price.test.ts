import { describe, expect, test } from 'vitest'
import { makePlan } from '../../../worker/plan/plan.ts'
import { candidate, COLD_MS, input, known, order } from './candidates.ts'

describe('the price decides', () => {
  test('equal clusters: the nearest', () => {
    const plan = makePlan(input([candidate('far', 100), candidate('near', 5)]))
    expect([order(plan), plan.reason]).toEqual([['near', 'far'], 'nearest'])
    expect(plan.entries[0]?.terms).toEqual({
      rttMs: 5,
      queueMs: 0,
      loadMs: 0,
      prefillMs: COLD_MS,
      handoffMs: 0,
      shadowMs: 0,
      totalMs: 5 + COLD_MS,
    })
  })

  test('a warm prefix far away is worth its round trip', () => {
    const far = candidate('far', 100, known('far', { matchedBytes: 36_000 }))
    const plan = makePlan(input([candidate('near', 5), far]))
    expect([order(plan), plan.reason]).toEqual([['far', 'near'], 'warm'])
    expect(plan.entries[0]).toMatchObject({ matchedTokens: 9000, promptTokens: 10_000, tier: 'gpu' })
    expect(plan.entries[0]?.terms.prefillMs).toBeCloseTo(110)
  })

  test('a queue drives a new conversation away, a fresh booking counts like one', () => {
    const busy = candidate('near', 5, known('near', { loads: { backlogMs: 400 } }))
    expect(makePlan(input([busy, candidate('far', 100)]))).toMatchObject({ reason: 'least-wait' })
    const booked = candidate('near', 5, known('near'), {
      booked: { prefillMs: 400, decodersMs: [] },
    })
    expect(order(makePlan(input([booked, candidate('far', 100)])))).toEqual(['far', 'near'])
  })

  test('behind long prefills a short prompt goes to an endpoint that decodes, a long one does not', () => {
    const decoders = [{ backlogMs: 100, stallShare: 0.5, comingPerMs: 0.002 }]
    const near = candidate(
      'near-1',
      5,
      known('near-1', { loads: { backlogMs: 3000, handoffMs: 20, decoders } }),
    )
    const plan = (promptBytes: number) => makePlan(input([near, candidate('far-1', 145)], { promptBytes }))
    const short = plan(800).entries[0]!
    expect(short.candidate.config.cluster).toBe('near-1')
    expect(short.terms).toMatchObject({ queueMs: 100, handoffMs: 0 })
    expect(short.terms.shadowMs).toBeGreaterThan(0)
    expect(plan(800_000).entries[0]!.candidate.config.cluster).toBe('far-1')
    const alone = makePlan(input([near], { promptBytes: 800_000 })).entries[0]!
    expect(alone.terms).toMatchObject({ queueMs: 3000, handoffMs: 20 })
  })

  test('an endpoint that decodes and has just been booked is no idle one', () => {
    const decoders = [{ backlogMs: 0, stallShare: 0, comingPerMs: 0 }]
    const near = (decodersMs: number[]) =>
      candidate('near', 5, known('near', { loads: { backlogMs: 3000, decoders } }), {
        booked: { prefillMs: 0, decodersMs },
      })
    const terms = (booked: number[]) => makePlan(input([near(booked)])).entries[0]!.terms
    expect(terms([0]).queueMs).toBe(0)
    expect(terms([2000]).queueMs).toBe(2000)
    expect(terms([4000]).queueMs).toBe(3000)
  })

  test('a hand-off costs what its bytes take where the cluster says how', () => {
    const handoff = { floorMs: 10, bytesPerMs: 100_000 }
    const hinted = (matchedBytes: number) =>
      candidate('near', 5, known('near', { matchedBytes, loads: { handoffMs: 70, handoff } }))
    const handoffMs = (matchedBytes: number) =>
      makePlan(input([hinted(matchedBytes)])).entries[0]!.terms.handoffMs
    // 10,000 tokens of 1,000 bytes, of which 9,000 are there.
    expect(handoffMs(0)).toBeCloseTo(110)
    expect(handoffMs(36_000)).toBeCloseTo(20)
    const plain = candidate('near', 5, known('near', { loads: { handoffMs: 70 } }))
    expect(makePlan(input([plain])).entries[0]!.terms.handoffMs).toBe(70)
  })

  test('KV pressure makes prefill dearer, and is priced but not predicted', () => {
    const tight = candidate('near', 5, known('near', { loads: { kvPressure: 0.9 } }))
    const plan = makePlan(input([tight, candidate('far', 100)]))
    expect(order(plan)).toEqual(['far', 'near'])
    expect(plan.entries[1]?.terms.shadowMs).toBeCloseTo(COLD_MS * 0.9)
  })

  test('a tier slower than recompute is not loaded from', () => {
    const slow = { remote: { floorMs: 50_000, bytesPerMs: 1 } }
    const knowledge = known('near', { matchedBytes: 36_000, tier: 4 })
    const plan = makePlan(
      input([candidate('near', 5, { ...knowledge, offer: { ...knowledge.offer!, tiers: slow } })]),
    )
    expect(plan.entries[0]?.terms).toMatchObject({ loadMs: 0, prefillMs: COLD_MS })
  })
})
