import { afterEach, expect, test, vi } from 'vitest'
import { completion, envelopeOf, newWorld, status, type World } from './edge-world.ts'

/** What the edge does when an agent knows that another cluster would answer sooner. */
afterEach(() => {
  vi.unstubAllGlobals()
})

test('a cluster that knows itself slower than the next is left, and asked to serve when that one fails', async () => {
  const slower = status(429, { 'x-isotherm-elsewhere': '900' })
  const ways = (world: World) =>
    world.arrivals.map((arrival) => {
      const { attempt, cluster, elsewhereMs } = envelopeOf(arrival)
      return [attempt, cluster, elsewhereMs === null ? 'to serve' : 'may leave']
    })
  const left = newWorld({ serve: { 'us-east-1': slower } })
  const { receipt } = await left.ask()
  expect(receipt).toMatchObject({ cluster: 'eu-central-1', attempt: 2, reason: 'redirect' })
  expect(ways(left)).toEqual([
    [1, 'us-east-1', 'may leave'],
    [2, 'eu-central-1', 'to serve'],
  ])
  let asked = 0
  const back = newWorld({
    serve: {
      'us-east-1': (arrival) => (asked++ === 0 ? slower(arrival) : completion(arrival)),
      'eu-central-1': status(500),
    },
  })
  const answer = await back.ask()
  expect(answer.status).toBe(200)
  expect(answer.receipt).toMatchObject({ cluster: 'us-east-1', attempt: 3, reason: 'failover' })
  expect(ways(back)[2]).toEqual([3, 'us-east-1', 'to serve'])
})
