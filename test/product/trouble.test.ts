import { afterEach, expect, test } from 'vitest'
import { startAgent } from '../../cluster-agent/agent.ts'
import type { DirectoryInspection } from '../../protocol/lookup.ts'
import { parseReceipt } from '../../protocol/receipt.ts'
import { startTestProduct, type TestProduct, type TestProductOptions } from '../support/product.ts'
import { until } from '../support/wait.ts'

/** Every fault: the caller gets an OpenAI error body with the right status or an answer from elsewhere; then all is well. */
let product: TestProduct | undefined

afterEach(async () => {
  await product?.stop()
  product = undefined
})

async function start(options: TestProductOptions = {}): Promise<TestProduct> {
  product = await startTestProduct(options)
  return product
}

interface Answer {
  readonly status: number
  readonly text: string
  readonly cluster: string | undefined
  readonly attempt: number | undefined
}

async function ask(
  body: Record<string, unknown> = {},
  init: { path?: string; signal?: AbortSignal; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const running = product!
  const response = await fetch(`${running.baseUrl}${init.path ?? '/chat/completions'}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${running.apiKey}`,
      'content-type': 'application/json',
      ...init.headers,
    },
    body: JSON.stringify({
      model: running.model,
      max_tokens: 4,
      messages: [{ role: 'user', content: 'hello' }],
      ...body,
    }),
    signal: init.signal ?? AbortSignal.timeout(60_000),
  })
  const receipt = parseReceipt(response.headers.get('x-isotherm-route') ?? '')
  return {
    status: response.status,
    text: await response.text(),
    cluster: receipt?.cluster,
    attempt: receipt?.attempt,
  }
}

const home = 'us-east-1'
const away = 'eu-central-1'
/**
 * Choices made in a cluster. The route header of an answer that is late, as all are on a busy machine, says where it was sent
 * first: it went out before the answer came.
 */
const choicesIn = (name: string) => clusterOf(name).agent.cluster.decisions.total
const clusterOf = (name: string) => product!.clusters.find(({ region }) => region.cluster === name)!

test('a region that is cut off: answers come from elsewhere, and from home again when it is back', async () => {
  // Were both as near, a conversation that is warm in both would have no reason to come home.
  await start({ rttMs: (cluster) => (cluster === home ? 0 : 80) })
  expect(await ask()).toMatchObject({ status: 200, cluster: home, attempt: 1 })
  clusterOf(home).link.set('drop')
  const before = [choicesIn(home), choicesIn(away)] as const
  for (const stream of [false, true]) {
    const { status, text } = await ask({ stream })
    expect(status).toBe(200)
    expect(text).toContain(stream ? '[DONE]' : '"finish_reason"')
  }
  expect([choicesIn(home), choicesIn(away)]).toEqual([before[0], before[1] + 2])
  clusterOf(home).link.set('open')
  await until('the home region to serve again', async () => (await ask()).cluster === home)
})

test('a region that takes connections and stays silent is left after its bound', async () => {
  await start({
    rttMs: (cluster) => (cluster === home ? 0 : 80),
    edge: (config) => ({ ...config, stallFloorMs: 2000, stallFactor: 1 }),
  })
  clusterOf(home).link.set('stall')
  const { status, text } = await ask()
  expect(status).toBe(200)
  expect(text).toContain('"finish_reason"')
  expect([choicesIn(home), choicesIn(away)]).toEqual([0, 1])
})

test('all regions gone: a clear error in OpenAI form, streamed or not, and service afterwards', async () => {
  await start()
  for (const { link } of product!.clusters) link.set('refuse')
  const answer = await ask()
  expect([502, 503]).toContain(answer.status)
  expect(answer.attempt).toBeGreaterThan(1)
  expect(JSON.parse(answer.text)).toMatchObject({ error: { type: 'server_error' } })
  for (const { link } of product!.clusters) link.set('open')
  await until('service', async () => (await ask()).status === 200)
})

test.each([
  ['two engines for both', ['both-0', 'both-1']],
  ['prefill and decode engines', ['prefill-0', 'decode-0', 'decode-1']],
] as const)(
  'of %s one dies under a request in prefill: the answer comes all the same',
  async (_, engines) => {
    await start({ regions: 1, engines, engine: { speed: 1 } })
    const { engines: running } = clusterOf(home)
    const long = { messages: [{ role: 'user', content: 'bada '.repeat(30_000) }] }
    const answers = [ask(long), ask({ messages: [{ role: 'user', content: 'dodo '.repeat(30_000) }] })]
    const victim = await until('an engine to work', () =>
      running.find((engine) => engine.stats().running > 0),
    )
    victim.kill()
    for (const answer of await Promise.all(answers)) expect(answer.status).toBe(200)
    expect((await ask()).status).toBe(200)
  },
)

test('an engine that dies in mid-stream ends the stream with an error event', async () => {
  await start({ regions: 1, engines: ['both-0'], engine: { speed: 1 } })
  const running = product!
  const response = await fetch(`${running.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${running.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: running.model,
      stream: true,
      max_tokens: 4000,
      ignore_eos: true,
      messages: [{ role: 'user', content: 'go on' }],
    }),
  })
  const reader = response.body!.getReader()
  let text = new TextDecoder().decode((await reader.read()).value)
  clusterOf(home).engines[0]!.kill()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    text += new TextDecoder().decode(value)
  }
  const events = text.split('\n\n').filter((event) => event.startsWith('data: '))
  expect(events.some((event) => event.startsWith('data: {"error"'))).toBe(true)
})

test('an engine that never answers is left for another one', async () => {
  await start({ regions: 1, silenceMsMax: 400 })
  clusterOf(home).engines[0]!.faults.silent = true
  for (let i = 0; i < 4; i++) {
    expect((await ask({ messages: [{ role: 'user', content: `silent ${i}` }] })).status).toBe(200)
  }
})

test('a lost client frees the engine in prefill', async () => {
  await start({ regions: 1, engines: ['both-0'], engine: { speed: 0.2 } })
  const [engine] = clusterOf(home).engines
  const controller = new AbortController()
  const request = ask(
    { stream: true, messages: [{ role: 'user', content: 'bada '.repeat(60_000) }] },
    { signal: controller.signal },
  )
  request.catch(() => undefined)
  await until('the engine to prefill', () => engine!.stats().running > 0)
  controller.abort()
  await until('the engine to be free', () => engine!.stats().running + engine!.stats().waiting === 0, 5000)
  expect(engine!.stats().aborted).toBe(1)
  await expect(request).rejects.toThrow()
})

test('what clients must not say is dropped', async () => {
  await start({ regions: 1, engines: ['both-0'] })
  const messages = [{ role: 'user', content: 'the same words again and again. '.repeat(60) }]
  const first = await ask({ messages })
  const hostile = await ask(
    {
      messages,
      cache_salt: 'of-another-tenant',
      kv_transfer_params: { do_remote_prefill: true, remote_host: '10.0.0.1', prompt_token_ids: [1, 2, 3] },
      vllm_xargs: { kv_transfer_params: '{}' },
    },
    { headers: { 'x-isotherm-envelope': 'forged', 'x-isotherm-routing': 'random' } },
  )
  expect([first.status, hostile.status]).toEqual([200, 200])
  const [one, two] = [JSON.parse(first.text), JSON.parse(hostile.text)] as {
    usage: Record<string, unknown>
    choices: { message: unknown }[]
  }[]
  expect(two!.choices[0]!.message).toEqual(one!.choices[0]!.message)
  // The salt is the tenant's own in both, so the second finds the first's blocks.
  expect(two!.usage['prompt_tokens_details']).toMatchObject({ cached_tokens: expect.any(Number) })
  expect((two!.usage['prompt_tokens_details'] as { cached_tokens: number }).cached_tokens).toBeGreaterThan(0)
})

test('an agent refuses what the edge did not sign', async () => {
  await start({ regions: 1, engines: ['both-0'] })
  const response = await fetch(`${clusterOf(home).agent.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-isotherm-envelope': 'e30.AAAA' },
    body: '{}',
  })
  expect([401, 403]).toContain(response.status)
  expect(await response.json()).toHaveProperty('error.message')
})

test('the edge and its directories restart: agents come back and requests are served', async () => {
  await start()
  await product!.restartEdge()
  expect((await ask()).status).toBe(200)
})

test('too large a body is 413, also when it hides its length', async () => {
  await start({
    regions: 1,
    engines: ['both-0'],
    edge: (config) => ({
      ...config,
      tenants: config.tenants.map((t) => ({ ...t, policy: { ...t.policy, promptBytesMax: 10_000 } })),
    }),
  })
  const big = JSON.stringify({
    model: product!.model,
    messages: [{ role: 'user', content: 'x'.repeat(20_000) }],
  })
  const headers = { authorization: `Bearer ${product!.apiKey}`, 'content-type': 'application/json' }
  for (const body of [big, new Blob([big]).stream()]) {
    const response = await fetch(`${product!.baseUrl}/chat/completions`, {
      method: 'POST',
      headers,
      body,
      duplex: 'half',
    } as RequestInit)
    expect(response.status).toBe(413)
    expect(await response.json()).toMatchObject({ error: { code: 'body_too_large' } })
  }
  expect((await ask()).status).toBe(200)
})

async function inspect(region: string): Promise<DirectoryInspection> {
  const response = await fetch(`${product!.origin}/admin/directory/${region}`, {
    headers: { authorization: `Bearer ${product!.adminToken}` },
  })
  return (await response.json()) as DirectoryInspection
}

test('every directory holds what every agent drained, after a restart of the edge too', async () => {
  await start()
  for (let i = 0; i < 6; i++) {
    const content = `conversation ${i} `.repeat(200)
    expect(
      (await ask({ messages: [{ role: 'user', content }] }, { headers: { 'x-isotherm-routing': 'random' } }))
        .status,
    ).toBe(200)
  }
  const agree = async () => {
    for (const { region } of product!.clusters) {
      const { streams } = await inspect(region.region)
      for (const { region: other, agent } of product!.clusters) {
        const reported = agent.cluster.states.reduce(
          (sum, { ledger }) => sum + [...ledger.resident()].length,
          0,
        )
        if (streams.find(({ cluster }) => cluster === other.cluster)?.entries !== reported) return false
      }
    }
    return true
  }
  const resident = () =>
    product!.clusters.map(({ agent }) => [...agent.cluster.states[0]!.ledger.resident()].length)
  await until('prompts to be resident somewhere', () => resident().some((count) => count > 10))
  await until(`directories and agents to agree ${resident().join()}`, agree)
  await product!.restartEdge()
  await until('directories and agents to agree again', agree)
})

test('an agent with a wrong token is not let in and takes nothing from the right one', async () => {
  await start({ regions: 1, engines: ['both-0'] })
  const { config } = clusterOf(home).agent.cluster
  const intruder = await startAgent({
    ...config,
    listen: { host: '127.0.0.1', port: 0 },
    secrets: { ...config.secrets, clusterToken: 'wrong' },
  })
  const stream = await until('the intruder to dial', () => intruder.reporter.streams[0])
  await until('the intruder to try again', () => stream.counts.connects > 2)
  expect(stream.state).toBe('connecting')
  const { streams } = await inspect('us-east')
  expect(streams).toMatchObject([{ cluster: home, state: 'live', resyncs: 0 }])
  await intruder.stop(0)
  expect(await ask()).toMatchObject({ status: 200, cluster: home })
})
