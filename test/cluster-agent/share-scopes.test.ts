import { afterEach, describe, expect, test } from 'vitest'
import { startTestCluster, type TestCluster } from '../support/cluster.ts'
import { askSealed, envelopeFor } from '../support/sealed.ts'
import { until } from '../support/wait.ts'

/** Whether tenants can tell from an engine's cache what others have asked: by no API. */
let cluster: TestCluster

afterEach(() => cluster?.stop())

const LONG = 'bada dedo gigo haha lelo mimo nana popo rere soso tito vavo zizo '.repeat(60)
const messages = [{ role: 'user', content: LONG }]
const BODIES = {
  '/v1/chat/completions': { messages, max_tokens: 2 },
  '/v1/completions': { prompt: LONG, max_tokens: 2 },
  '/v1/responses': { input: LONG, max_output_tokens: 2 },
  '/v1/messages': { messages, max_tokens: 2 },
}
type Path = keyof typeof BODIES

function ask(path: Path, shareScope: string): Promise<Response> {
  return askSealed(cluster, {
    method: 'POST',
    path,
    body: { model: cluster.model, ...BODIES[path] },
    envelope: envelopeFor(cluster.model, LONG, shareScope),
  })
}

async function cachedTokens(path: Path, shareScope: string): Promise<number> {
  const response = await ask(path, shareScope)
  expect(response.status).toBe(200)
  const text = await response.text()
  return Number(/"(?:cached_tokens|cache_read_input_tokens)":(\d+)/.exec(text)?.[1] ?? 0)
}

describe.each(Object.keys(BODIES) as Path[])('%s', (path) => {
  test('a prompt is cached for its own scope only', async () => {
    cluster = await startTestCluster({ needsEnvelope: true, engines: ['both-0'] })
    expect(await cachedTokens(path, 'tenant:a')).toBe(0)
    expect(await cachedTokens(path, 'tenant:a')).toBeGreaterThan(100)
    expect(await cachedTokens(path, 'tenant:b')).toBe(0)
  })
})

describe('engines whose Messages drop the salt', () => {
  const options = { needsEnvelope: true, engines: ['both-0'], engine: { version: '0.23.0' } } as const
  const isVersionKnown = () => cluster.agent.cluster.endpoints.every(({ version }) => version !== null)

  test('get none of them', async () => {
    cluster = await startTestCluster(options)
    await until('the version', isVersionKnown)
    const refused = await ask('/v1/messages', 'tenant:a')
    expect([refused.status, await refused.json()]).toMatchObject([
      503,
      { type: 'error', error: { message: expect.stringContaining('apart') } },
    ])
    expect((await ask('/v1/chat/completions', 'tenant:a')).status).toBe(200)
  })

  test('get them where the operator says so, and share', async () => {
    cluster = await startTestCluster({ ...options, agent: { unsaltedMessages: true } })
    await until('the version', isVersionKnown)
    expect(await cachedTokens('/v1/messages', 'tenant:a')).toBe(0)
    expect(await cachedTokens('/v1/messages', 'tenant:b')).toBeGreaterThan(100)
  })
})
