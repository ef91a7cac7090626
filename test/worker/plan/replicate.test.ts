import { describe, expect, test } from 'vitest'
import type { Policy } from '../../../protocol/policy.ts'
import type { Candidate } from '../../../worker/plan/candidate.ts'
import { makePlan, type PlanInput } from '../../../worker/plan/plan.ts'
import { candidate, input, known, POLICY } from './candidates.ts'

/** Cold prefill of the test prompt: 10,000 tokens at 0.1 ms and 10 ms fixed. */
const COLD_MS = 1010

describe('a prefix that prompts share', () => {
  // Warm far away, 140 ms farther; cold at home, where it takes more than 140 ms of prefill.
  const far = candidate('far-1', 145, known('far-1', { matchedBytes: 30_000 }))
  const near = candidate('near-1', 5)
  const plan = (change: Partial<PlanInput>) => makePlan(input([near, far], change))
  const leaders = (draw: number) => plan({ isShared: true, draw }).entries[0]!.candidate

  test('is carried to the near cluster with the probability that its detours pay for', () => {
    const { entries } = plan({})
    const [warm, cold] = [entries[0]!, entries[1]!]
    expect(warm.candidate).toBe(far)
    const saved = 140
    const extra = cold.terms.totalMs - warm.terms.totalMs - 50
    expect(extra).toBeGreaterThan(saved)
    expect(leaders(saved / extra - 0.001)).toBe(near)
    expect(leaders(saved / extra + 0.001)).toBe(far)
    expect(plan({ isShared: true, draw: 0 })).toMatchObject({ reason: 'replica' })
    expect(plan({ isShared: true, draw: 0 }).entries).toHaveLength(2)
  })

  test('stays where it is when nobody shares it, and when it would save nothing', () => {
    expect(plan({ draw: 0 }).entries[0]!.candidate).toBe(far)
    const home = candidate('near-1', 5, known('near-1', { matchedBytes: 30_000 }))
    const away = candidate('far-1', 145)
    const kept = makePlan(input([home, away], { isShared: true, draw: 0 }))
    expect(kept.entries[0]!.candidate).toBe(home)
  })

  test('goes nowhere that the rules forbid', () => {
    const policy = { ...POLICY, regions: ['far'] }
    expect(plan({ isShared: true, policy, draw: 0 }).entries.map(({ candidate: c }) => c)).toEqual([far])
  })

  test('does not move while the load here or there is not believed', () => {
    const old = { loadAgeMs: 60_000 }
    const pairs = [
      [near, candidate('far-1', 145, known('far-1', { matchedBytes: 30_000, ...old }))],
      [candidate('near-1', 5, known('near-1', old)), far],
    ]
    for (const pair of pairs)
      expect(makePlan(input(pair, { isShared: true, draw: 0 })).reason).not.toBe('replica')
  })

  test('money is no detour: it is paid with a copy too', () => {
    const price = { uncachedUsd: 1, cachedUsd: 1, outputUsd: 1 }
    const priced = (one: Candidate): Candidate => ({ ...one, config: { ...one.config, price } })
    const policy: Policy = { ...POLICY, objective: { kind: 'money', usdPerHour: 0.01 } }
    const apart = (draw: number) =>
      makePlan(input([priced(near), priced(far)], { policy, isShared: true, draw })).entries[0]!.candidate
    const probability = 140 / (COLD_MS - 140)
    expect(apart(probability + 0.5).config.cluster).toBe('far-1')
    expect(leaders(probability + 0.5)).toBe(far)
  })
})
