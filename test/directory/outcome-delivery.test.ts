import { expect, test } from 'vitest'
import { DELIVERIES_MAX, OutcomeDelivery } from '../../directory/outcome-delivery.ts'
import type { Outcome } from '../../protocol/outcome.ts'
import { outcome } from './fake-agent.ts'

const never = () => new Promise<void>(() => undefined)

test('each ledger takes its own, and a failing or silent one leaves only its own untaken', async () => {
  const taken: Record<string, readonly Outcome[]> = {}
  const delivery = new OutcomeDelivery((tenant) => {
    if (tenant === 'gone') throw new Error('no such binding')
    return {
      takeOutcomes: (outcomes) => {
        if (tenant === 'silent') return never()
        if (tenant === 'failing') return Promise.reject(new Error('overloaded'))
        taken[tenant] = outcomes
        return Promise.resolve()
      },
    }
  }, 20)
  const tenants = ['a', 'failing', 'b', 'silent', 'a', 'gone']
  const outcomes = tenants.map((tenant, i) => outcome({ tenant, requestId: `r-${i}` }))
  expect((await delivery.deliver(outcomes))?.toSorted()).toEqual([1, 3, 5])
  expect(taken['a']?.map(({ requestId }) => requestId)).toEqual(['r-0', 'r-4'])
  expect(taken['b']?.map(({ requestId }) => requestId)).toEqual(['r-2'])
})

test('batches under way are bounded', async () => {
  const delivery = new OutcomeDelivery(() => ({ takeOutcomes: never }), 20)
  const underway = Array.from({ length: DELIVERIES_MAX }, () => delivery.deliver([outcome()]))
  expect(await delivery.deliver([outcome()])).toBeNull()
  expect(await Promise.all(underway)).toEqual(underway.map(() => [0]))
  expect(await delivery.deliver([])).toEqual([])
})
