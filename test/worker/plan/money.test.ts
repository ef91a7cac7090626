import { expect, test } from 'vitest'
import { policySchema } from '../../../protocol/policy.ts'
import { makePlan } from '../../../worker/plan/plan.ts'
import { predictedTtftMs } from '../../../worker/plan/price.ts'
import { candidate, input, known } from './candidates.ts'

const DEAR = { uncachedUsd: 4, cachedUsd: 0.4, outputUsd: 16 }
const CHEAP = { uncachedUsd: 1, cachedUsd: 0.1, outputUsd: 4 }

function planFor(objective: object, matchedBytes = 0) {
  const near = candidate('near-1', 5, known('near-1', { matchedBytes }))
  const far = candidate('far-1', 150)
  const candidates = [
    { ...near, config: { ...near.config, price: DEAR } },
    { ...far, config: { ...far.config, price: CHEAP } },
  ]
  const policy = policySchema.parse({ regions: ['near', 'far'], objective })
  return makePlan(input(candidates, { policy }))
}

function leadOf(plan: ReturnType<typeof planFor>): string | undefined {
  return plan.entries[0]?.candidate.config.cluster
}

test('a cheap cluster is worth a wait to those who say what waiting is worth', () => {
  expect(leadOf(planFor({ kind: 'latency' }))).toBe('near-1')
  // 10,000 tokens cost three cents less far away: at ten dollars an hour that is eleven seconds.
  expect(leadOf(planFor({ kind: 'money', usdPerHour: 10 }))).toBe('far-1')
  expect(leadOf(planFor({ kind: 'money', usdPerHour: 10_000 }))).toBe('near-1')
})

test('what is cached is cheaper too', () => {
  expect(leadOf(planFor({ kind: 'money', usdPerHour: 200 }))).toBe('far-1')
  expect(leadOf(planFor({ kind: 'money', usdPerHour: 200 }, 40_000))).toBe('near-1')
})

test('nobody waits for money: the prediction stays', () => {
  const [latency, money] = [planFor({ kind: 'latency' }), planFor({ kind: 'money', usdPerHour: 10 })]
  const ttftOf = (plan: ReturnType<typeof planFor>) =>
    plan.entries.map((entry) => `${entry.candidate.config.cluster} ${predictedTtftMs(entry.terms)}`).sort()
  expect(ttftOf(money)).toEqual(ttftOf(latency))
})
