import OpenAI, { RateLimitError } from 'openai'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startFakeCluster, type FakeCluster } from '../support/fake-cluster.ts'
import { sha256, startLoneEdge, type LoneEdge } from '../support/lone-edge.ts'

/** What OpenAI's client, unmodified and with retries on, makes of refusals. */
const KEYS = { patient: 'iso-patient-key', broke: 'iso-broke-key' }
const MODEL = 'm'
let cluster: FakeCluster
let edge: LoneEdge

beforeAll(async () => {
  cluster = await startFakeCluster('us-east-1', 429)
  edge = await startLoneEdge({
    config: {
      homeRegion: 'us-east',
      regions: [{ region: 'us-east' }],
      clusters: [{ cluster: 'us-east-1', region: 'us-east', url: cluster.url }],
      tenants: [
        { tenant: 'patient', apiKeySha256: [sha256(KEYS.patient)], policy: { regions: ['us-east'] } },
        {
          tenant: 'broke',
          apiKeySha256: [sha256(KEYS.broke)],
          policy: {
            regions: ['us-east'],
            budget: { usd: 0.000_001, period: 'day' },
            prices: {
              [MODEL]: { uncachedUsd: 100, cachedUsd: 100, outputUsd: 100 },
            },
          },
        },
      ],
    },
  })
})
afterAll(async () => {
  await edge?.stop()
  await cluster?.stop()
})

interface Heard {
  readonly status: number
  readonly retryAfter: string | null
  readonly shouldRetry: string | null
}

/** The client, and every answer that it heard. */
function clientOf(
  apiKey: string,
  onAnswer: () => void = () => undefined,
): { client: OpenAI; heard: Heard[] } {
  const heard: Heard[] = []
  const client = new OpenAI({
    baseURL: `${edge.origin}/v1`,
    apiKey,
    maxRetries: 2,
    fetch: async (url, init) => {
      const response = await fetch(url, init)
      const { status, headers } = response
      heard.push({
        status,
        retryAfter: headers.get('retry-after'),
        shouldRetry: headers.get('x-should-retry'),
      })
      onAnswer()
      return response
    },
  })
  return { client, heard }
}

const CHAT = { model: MODEL, max_tokens: 4, messages: [{ role: 'user' as const, content: 'hi' }] }

test('a cluster without room: the client waits as it is told, comes again and is served', async () => {
  const { client, heard } = clientOf(KEYS.patient, () => {
    cluster.fault = 'none'
  })
  const answer = await client.chat.completions.create(CHAT)
  expect(answer.model).toBe('us-east-1')
  expect(heard).toEqual([
    { status: 429, retryAfter: '1', shouldRetry: null },
    { status: 200, retryAfter: null, shouldRetry: null },
  ])
})

test('a spent budget: the client does not come again', async () => {
  const { client, heard } = clientOf(KEYS.broke)
  const before = cluster.requests.length
  await expect(client.chat.completions.create(CHAT)).rejects.toSatisfy(
    (error) => error instanceof RateLimitError && error.code === 'insufficient_quota',
  )
  expect(heard).toMatchObject([{ status: 429, shouldRetry: 'false' }])
  expect(cluster.requests.length).toBe(before)
})
