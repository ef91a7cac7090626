import { expect, test } from 'vitest'
import { policyByName } from '../../../simulator/policies/catalogue.ts'
import { timedPolicy } from '../../../simulator/policies/timed.ts'
import { play } from '../../../simulator/scenario/play.ts'
import { parseScenario } from '../../../simulator/scenario/scenario.ts'

test('timing a policy counts every choice of it and changes none', () => {
  const scenario = parseScenario(
    {
      name: 'small',
      title: 'small',
      world: {
        regions: ['us-east', 'eu-central'],
        clusters: ['us-east', 'eu-central'].map((region) => ({
          region,
          endpoints: [{ count: 2, profile: 'qwen3-32b-tp2-h100' }],
        })),
      },
      workload: {
        kind: 'shared-prefix',
        groups: 3,
        usersPerGroup: 2,
        systemTokens: 1000,
        questionTokens: 100,
        outputTokens: 5,
        stages: [{ ratePerS: 2, seconds: 20 }],
      },
      policies: ['isotherm'],
    },
    'test',
  )
  const policy = policyByName('isotherm')!
  const time = { totalMs: 0 }
  let reads = 0
  // Each reading of the clock is 1 ms after the last: a choice takes 1 ms.
  const timed = play(
    scenario,
    '',
    timedPolicy(policy, time, () => reads++),
    1,
    null,
  )
  expect(timed).toEqual(play(scenario, '', policy, 1, null))
  // One choice at the edge and one in the cluster.
  expect(time.totalMs).toBe(timed.played * 2)
})
