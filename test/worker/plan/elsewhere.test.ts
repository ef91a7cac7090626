import { describe, expect, test } from 'vitest'
import { elsewhereMs } from '../../../worker/plan/elsewhere.ts'
import { makePlan } from '../../../worker/plan/plan.ts'
import { candidate, COLD_MS, input, known } from './candidates.ts'

const NEAR_RTT = 10
const FAR_RTT = 110
const near = candidate('near', NEAR_RTT)
const far = candidate('far', FAR_RTT)

describe('until when a request stays where it was sent', () => {
  test('what is predicted after the way there, and by how much the next one is dearer', () => {
    const plan = makePlan(input([near, far]))
    // The price of an idle cold cluster is its round trip and the prefill, so the slack is that of the round trips.
    const slackMs = FAR_RTT - NEAR_RTT
    expect(elsewhereMs(plan, 3, 0)).toBe(Math.round(1.1 * (COLD_MS + NEAR_RTT / 2 + slackMs)))
    expect(elsewhereMs(plan, 3, 70)).toBe(Math.round(1.1 * (COLD_MS + NEAR_RTT / 2 + slackMs) + 70))
  })

  test('staying at home is worth the margin here as in the plan', () => {
    const home = candidate(
      'near',
      NEAR_RTT,
      known('near', { matchedBytes: 30_000, loads: { backlogMs: 720 } }),
    )
    const plan = makePlan(input([home, far]))
    expect(plan.reason).toBe('warm')
    const [lead, next] = plan.entries
    const slackMs = next!.terms.totalMs - lead!.terms.totalMs
    const { queueMs, prefillMs, loadMs } = lead!.terms
    expect(slackMs).toBeGreaterThan(0)
    expect(elsewhereMs(plan, 3, 0)).toBe(
      Math.round(1.1 * (queueMs + prefillMs + loadMs + NEAR_RTT / 2 + slackMs)),
    )
  })

  test.each([
    ['there is no other cluster', makePlan(input([near])), 3],
    ['an attempt to come back with is missing', makePlan(input([near, far])), 2],
    ['the routing is not by price', makePlan(input([near, far], { routing: 'nearest' })), 3],
    ['the directory did not answer', makePlan(input([near, far], { knowledge: 'none' })), 3],
    [
      'a copy of the prefix is carried there',
      { ...makePlan(input([near, far])), reason: 'replica' as const },
      3,
    ],
    ['nobody is left', makePlan(input([])), 3],
  ])('for good where %s', (_, plan, attemptsMax) => {
    expect(elsewhereMs(plan, attemptsMax, 50)).toBeNull()
  })
})
