import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { startTestCluster, TEST_SECRETS, type TestCluster } from '../support/cluster.ts'
import { until } from '../support/wait.ts'

let cluster: TestCluster

afterEach(() => cluster?.stop())

const ask = (content: string, headers: Record<string, string> = {}) =>
  fetch(`${cluster.agent.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({
      model: cluster.model,
      messages: [{ role: 'user', content }],
      max_tokens: 4,
    }),
  })
const get = (base: string | null, path: string, token?: string) =>
  fetch(`${base}${path}`, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } })
const GUARDED = [
  '/metrics',
  '/debug/residency',
  '/debug/route',
  '/debug/cost',
  '/debug/endpoints',
  '/debug/prompts',
]

test('metrics and debug routes are there for the token or on their own address, and for nobody else', async () => {
  cluster = await startTestCluster({ agent: { admin: { port: 0 } } })
  const { url, adminUrl } = cluster.agent
  for (const path of GUARDED) {
    expect((await get(url, path)).status).toBe(404)
    expect((await get(url, path, `${TEST_SECRETS.ISOTHERM_ADMIN_TOKEN}x`)).status).toBe(404)
    expect((await get(url, path, '')).status).toBe(404)
    expect((await get(url, path, TEST_SECRETS.ISOTHERM_ADMIN_TOKEN)).status).toBe(200)
    expect((await get(adminUrl, path)).status).toBe(200)
  }
  expect((await get(url, '/healthz')).status).toBe(200)
  expect((await get(adminUrl, '/v1/chat/completions')).status).toBe(404)
  expect((await fetch(`${adminUrl}/metrics`, { method: 'POST' })).status).toBe(404)
})

test('without a token in the configuration the routes are not there', async () => {
  cluster = await startTestCluster({ withoutAdminToken: true })
  for (const path of GUARDED) {
    expect((await get(cluster.agent.url, path)).status).toBe(404)
    expect((await get(cluster.agent.url, path, 'null')).status).toBe(404)
  }
})

test('how prompts are understood is told by aspect, and what differs by name', async () => {
  cluster = await startTestCluster({ engines: ['both-0'], agent: { admin: { port: 0 } } })
  const { agent, model } = cluster
  await until(
    'our tokens to be held against the engine',
    () => agent.learner.understanding.parity(model).size,
  )
  expect((await ask('learn me')).status).toBe(200)
  await until('the prompt to be learnt', () => agent.learner.counts.learnt > 0)
  const told = (await (await get(agent.adminUrl, '/debug/prompts')).json()) as {
    learnt: number
    models: { model: string; parity: Record<string, string>; differs: Record<string, string> }[]
  }
  expect(told.learnt).toBe(1)
  expect(told.models[0]).toMatchObject({ model, parity: { text: 'same', chat: 'same' } })
  // The simulated engine renders tool calls in its own way, which the demo's template does not.
  for (const [aspect, parity] of Object.entries(told.models[0]!.parity))
    expect(aspect in told.models[0]!.differs).toBe(parity === 'different')
})

test('requests are counted, the pool stands under the names of llm-d, and gone endpoints have no series', async () => {
  cluster = await startTestCluster({ engines: ['both-0', 'both-1'], agent: { admin: { port: 0 } } })
  const { agent } = cluster
  await until('both endpoints', () =>
    agent.cluster.endpoints.every(({ number }) => agent.cluster.unavailable(number) === null),
  )
  for (let i = 0; i < 3; i++) expect((await ask('count me')).status).toBe(200)
  const text = await (await get(agent.adminUrl, '/metrics')).text()
  expect(text).toContain(
    `isotherm_agent_requests_total{model="${cluster.model}",end="complete",status="200"} 3`,
  )
  expect(text).toContain('llm_d_epp_ready_endpoints{name="us-east-1"} 2')
  for (const series of ['kv_cache_utilization', 'queue_size', 'running_requests'])
    expect(text).toMatch(new RegExp(`^llm_d_epp_average_${series}\\{name="us-east-1"\\} \\d`, 'm'))
  expect(text).toMatch(/^isotherm_endpoint_available\{endpoint="test.both-0",role="both"\} 1$/m)
  expect(text).toMatch(/^isotherm_agent_decisions 3$/m)
  agent.roster.apply([agent.cluster.config.endpoints[1]!])
  const after = await (await get(agent.adminUrl, '/metrics')).text()
  expect(after).not.toContain('test.both-0')
  expect(after).toContain('llm_d_epp_ready_endpoints{name="us-east-1"} 1')
})

test('the last choices say why, newest first, without a word of the prompt', async () => {
  cluster = await startTestCluster({ agent: { admin: { port: 0 } } })
  const { agent } = cluster
  await until('both endpoints', () =>
    agent.cluster.endpoints.every(({ number }) => agent.cluster.unavailable(number) === null),
  )
  await ask('a-secret-word', { 'x-request-id': 'first' })
  agent.cluster.setUnavailable(0, 'unhealthy')
  await ask('a-secret-word', { 'x-request-id': 'second' })
  const text = await (await get(agent.adminUrl, '/debug/route?limit=2')).text()
  expect(text).not.toContain('secret')
  const { total, decisions } = JSON.parse(text) as {
    total: number
    decisions: {
      requestId: string
      chosen: Record<string, unknown>
      alternatives: unknown[]
      rejected: Record<string, number>
    }[]
  }
  expect(total).toBe(2)
  expect(decisions.map(({ requestId }) => requestId)).toEqual(['second', 'first'])
  expect(decisions[0]).toMatchObject({
    chosen: { prefill: 'test.both-1', decode: 'test.both-1', terms: { queueMs: 0 } },
  })
  expect(decisions[0]!.rejected['unhealthy']).toBeGreaterThan(0)
  expect(decisions[1]!.alternatives.length).toBeGreaterThan(0)
})

test('a request is a span in the trace of its caller, and the engines are told', async () => {
  const bodies: string[] = []
  const collector = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
    request.on('end', () => {
      bodies.push(body)
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    })
  })
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve))
  const { port } = collector.address() as AddressInfo
  cluster = await startTestCluster({
    agent: { tracing: { otlpUrl: `http://127.0.0.1:${port}/v1/traces` } },
  })
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  await ask('trace me', { traceparent: `00-${traceId}-b7ad6b7169203331-01` })
  await ask('not sampled', { traceparent: `00-${'1'.repeat(32)}-b7ad6b7169203331-00` })
  await cluster.stop()
  await new Promise((resolve) => collector.close(resolve))
  const all = bodies.join('')
  const { resourceSpans } = JSON.parse(bodies[0]!) as {
    resourceSpans: { scopeSpans: { spans: Record<string, unknown>[] }[] }[]
  }
  const [span] = resourceSpans[0]!.scopeSpans[0]!.spans
  expect(span).toMatchObject({ traceId, parentSpanId: 'b7ad6b7169203331', name: `chat ${cluster.model}` })
  for (const name of ['gen_ai.usage.input_tokens', 'gen_ai.request.model', 'isotherm.prefill_endpoint'])
    expect(all).toContain(name)
  expect(all).not.toContain('1'.repeat(32))
  expect(all).not.toContain('trace me')
})
