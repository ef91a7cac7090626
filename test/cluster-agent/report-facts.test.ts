import { afterEach, expect, test } from 'vitest'
import { startTestCluster, type TestCluster } from '../support/cluster.ts'
import { until } from '../support/wait.ts'

/** What the agent tells directories of its cluster beside residency, in front of simulated engines. */
let cluster: TestCluster | undefined

afterEach(() => cluster?.stop())

const PRICES = { uncachedUsdPerMTokens: 2, cachedUsdPerMTokens: 0.2, outputUsdPerMTokens: 8 }

async function ask(content: string): Promise<void> {
  const response = await fetch(`${cluster!.agent.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: cluster!.model, prompt: content, max_tokens: 2 }),
  })
  expect(response.status).toBe(200)
  await response.text()
}

const tiers = () => cluster!.agent.cluster.loads(performance.now())[0]?.tiers ?? {}

test('heartbeats tell how full each tier is, and how fast the engines forget', async () => {
  cluster = await startTestCluster({ engines: ['both-0'], engine: { profile: { kvTokens: 4096 } } })
  const { agent } = cluster
  await until('the event stream to be live', () => agent.subscribers.every(({ state }) => state === 'live'))
  expect(tiers()).toEqual({})
  await ask('one '.repeat(300))
  await until('blocks to be counted', () => (tiers()['gpu']?.blocks ?? 0) > 0)
  const [{ index }] = agent.cluster.states as [(typeof agent.cluster.states)[number]]
  expect(tiers()['gpu']?.blocks).toBe(index.residentHashes(0, 1).length)
  expect(tiers()['gpu']?.evictedBlocksPerS).toBe(0)
  let asked = 0
  await until('blocks to be evicted', async () => {
    await ask(`${++asked} other words `.repeat(150))
    return (tiers()['gpu']?.evictedBlocksPerS ?? 0) > 0
  })
})

test('offers name the prices of the configuration, and none without', async () => {
  const model = { contextTokensMax: 8192, kvBytesPerToken: 1000, prices: PRICES }
  cluster = await startTestCluster({
    engines: ['both-0'],
    agent: {
      models: [
        { ...model, model: 'priced' },
        { ...model, model: 'free', prices: undefined },
      ],
    },
  })
  expect(cluster.agent.cluster.offers().map(({ prices }) => prices)).toEqual([PRICES, undefined])
})
