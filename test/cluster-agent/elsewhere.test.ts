import { afterEach, expect, test } from 'vitest'
import { startTestCluster, type TestCluster } from '../support/cluster.ts'
import { askSealed, envelopeFor } from '../support/sealed.ts'
import { until } from '../support/wait.ts'

/** What an agent does with a request that another cluster would answer sooner. */
let cluster: TestCluster

afterEach(() => cluster?.stop())

const TEXT = 'bada dedo gigo haha lelo mimo nana popo rere soso tito vavo zizo '.repeat(60)

function ask(elsewhereMs?: number | null): Promise<Response> {
  return askSealed(cluster, {
    method: 'POST',
    path: '/v1/chat/completions',
    body: { model: cluster.model, messages: [{ role: 'user', content: TEXT }], max_tokens: 2 },
    envelope: {
      ...envelopeFor(cluster.model, TEXT),
      ...(elsewhereMs === undefined ? {} : { elsewhereMs }),
    },
  })
}

test('beyond what the edge gives it a request is refused before anything begins', async () => {
  cluster = await startTestCluster({ needsEnvelope: true, engines: ['both-0'] })
  const refused = await ask(0)
  expect([refused.status, ((await refused.json()) as { error: { code: string } }).error.code]).toEqual([
    429,
    'overloaded',
  ])
  expect(Number(refused.headers.get('x-isotherm-elsewhere'))).toBeGreaterThan(0)
  expect(refused.headers.get('retry-after')).toBeNull()
  expect(cluster.agent.cluster.bookings.count).toBe(0)
  expect(cluster.engines[0]!.residency().gpu).toEqual([])
})

test.each([
  ['within it', 1_000_000],
  ['of an edge that says none', null],
  ['of an edge that does not know of it', undefined],
])('a request %s is served', async (_, elsewhereMs) => {
  cluster = await startTestCluster({ needsEnvelope: true, engines: ['both-0'] })
  const served = await ask(elsewhereMs)
  await served.text()
  expect([served.status, served.headers.has('x-isotherm-elsewhere')]).toEqual([200, false])
  await until('the booking to end', () => cluster.agent.cluster.bookings.count === 0)
})
