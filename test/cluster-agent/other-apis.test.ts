import { createHash, createHmac, randomBytes, randomUUID } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import { ENVELOPE_CONTEXT, ENVELOPE_HEADER } from '../../protocol/envelope.ts'
import {
  startTestCluster,
  TEST_SECRETS,
  type TestCluster,
  type TestClusterOptions,
} from '../support/cluster.ts'
import { until } from '../support/wait.ts'

/** Responses, Messages, token counts and embeddings through the agent, in front of simulated engines. */
let cluster: TestCluster

afterEach(() => cluster?.stop())

async function start(options?: TestClusterOptions): Promise<void> {
  cluster = await startTestCluster(options)
  await until('every event stream to be live', () =>
    cluster.agent.subscribers.every(({ state }) => state === 'live'),
  )
}

async function ask(path: string, body: Record<string, unknown>) {
  const response = await fetch(`${cluster.agent.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: cluster.model, ...body }),
  })
  const text = await response.text()
  return { status: response.status, text, route: response.headers.get('x-isotherm-agent-route') ?? '' }
}

/** As the edge sends it. */
async function askSigned(body: Record<string, unknown>, responseId: string | null) {
  const text = JSON.stringify({ model: cluster.model, ...body })
  const path = '/v1/responses'
  const secret = TEST_SECRETS.ISOTHERM_ENVELOPE_SECRET
  const envelope = {
    v: 2,
    requestId: randomUUID(),
    attempt: 1,
    tenant: 't',
    shareScope: 't',
    cluster: cluster.agent.cluster.config.cluster,
    model: cluster.model,
    stream: false,
    outputTokensMax: 4,
    markers: '',
    promptBytes: text.length,
    issuedMs: Date.now(),
    nonce: randomBytes(16).toString('base64url'),
    deadlineMs: null,
    responseId,
  }
  const encoded = Buffer.from(JSON.stringify(envelope)).toString('base64url')
  const digest = createHash('sha256').update(text).digest('hex')
  const signed = `${ENVELOPE_CONTEXT}\nPOST\n${path}\n${digest}\n${encoded}\n`
  const mac = createHmac('sha256', secret).update(signed).digest('base64url')
  const response = await fetch(`${cluster.agent.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', [ENVELOPE_HEADER]: `${encoded}.${mac}` },
    body: text,
  })
  const route = response.headers.get('x-isotherm-agent-route') ?? ''
  return { status: response.status, text: await response.text(), route }
}

const LONG = 'bada dedo gigo haha lelo mimo nana popo rere soso tito vavo zizo '.repeat(60)

test('a prompt that came by chat is warm for Messages and Responses', async () => {
  await start()
  const messages = [
    { role: 'system', content: LONG },
    { role: 'user', content: 'hello' },
  ]
  expect((await ask('/v1/chat/completions', { messages, max_tokens: 2 })).status).toBe(200)
  const user = [messages[1]]
  const warm = (path: string, body: Record<string, unknown>) =>
    until(`${path} to be warm`, async () => {
      const { status, route } = await ask(path, body)
      expect(status).toBe(200)
      return Number(/(?:^|; )matched_tokens=(\d+)/.exec(route)?.[1]) > 100
    })
  await warm('/v1/messages', { system: LONG, messages: user, max_tokens: 2 })
  await warm('/v1/responses', { instructions: LONG, input: user, max_output_tokens: 2 })
})

test('Responses and Messages are handed off from prefill to decode, and answer as one engine does', async () => {
  await start({ engines: ['prefill-0', 'decode-0'], engine: { speed: 1 } })
  // A busy decode engine makes the split pay.
  const busy = { prompt: 'go on', max_tokens: 300, ignore_eos: true }
  const background = Array.from({ length: 3 }, () => ask('/v1/completions', busy))
  await until('the decode engine to decode', () => cluster.engines[1]!.stats().running > 0)
  const split = expect.stringMatching(/prefill=test.prefill-0; decode=test.decode-0/)
  const responses = await ask('/v1/responses', { input: LONG.repeat(4), max_output_tokens: 6 })
  expect([responses.status, responses.route]).toEqual([200, split])
  expect(JSON.parse(responses.text)).toMatchObject({ object: 'response', usage: { output_tokens: 6 } })
  const messages = await ask('/v1/messages', {
    messages: [{ role: 'user', content: `first ${LONG.repeat(4)}` }],
    max_tokens: 6,
    stream: true,
  })
  expect([messages.status, messages.route]).toEqual([200, split])
  expect(messages.text).toMatch(
    /^event: message_start\n[^]*event: message_stop\ndata: \{"type":"message_stop"\}\n\n$/,
  )
  await Promise.all(background)
})

test('what continues a response goes to the engine that keeps it', async () => {
  await start({ needsEnvelope: true })
  const responseId = 'resp_0123456789abcdef0123456789abcdef-c-1-AAAAAAAAAAAAAAAA'
  const first = await askSigned({ input: 'Tell me a story.', max_output_tokens: 4 }, responseId)
  expect(JSON.parse(first.text)).toMatchObject({ id: responseId })
  const home = /decode=([^;]+)/.exec(first.route)?.[1]
  for (let i = 0; i < 6; i++) {
    const more = { input: `Go on, ${i}.`, max_output_tokens: 4, previous_response_id: responseId }
    const next = await askSigned(more, null)
    expect([next.status, /decode=([^;]+)/.exec(next.route)?.[1]]).toEqual([200, home])
  }
  const unknown = await askSigned({ input: 'x', previous_response_id: 'resp_unknown' }, null)
  expect(unknown.status).toBe(404)
})

test('what gives no tokens is answered', async () => {
  await start()
  const count = await ask('/v1/messages/count_tokens', { messages: [{ role: 'user', content: LONG }] })
  expect([count.status, JSON.parse(count.text)]).toMatchObject([200, { input_tokens: expect.any(Number) }])
  const vectors = await ask('/v1/embeddings', { input: [LONG, 'two'] })
  expect((JSON.parse(vectors.text) as { data: unknown[] }).data).toHaveLength(2)
})

test('refusals of agent and engine are in the dialect', async () => {
  await start()
  const unknown = await ask('/v1/messages', {
    model: 'nope',
    max_tokens: 1,
    messages: [{ role: 'user', content: 'x' }],
  })
  expect([unknown.status, JSON.parse(unknown.text)]).toMatchObject([
    404,
    { type: 'error', error: { type: 'not_found_error' } },
  ])
  const wrong = await ask('/v1/messages', { max_tokens: 0, messages: [{ role: 'user', content: 'x' }] })
  expect([wrong.status, JSON.parse(wrong.text)]).toMatchObject([400, { type: 'error' }])
})

test('an engine that dies in mid-stream ends each stream in its own way', async () => {
  await start({ engines: ['both-0'], engine: { speed: 1 } })
  const open = async (path: string, body: Record<string, unknown>) => {
    const response = await fetch(`${cluster.agent.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: cluster.model, stream: true, ...body }),
    })
    const reader = response.body!.getReader()
    await reader.read()
    return async () => {
      let text = ''
      for (let next = await reader.read(); !next.done; next = await reader.read())
        text += new TextDecoder().decode(next.value)
      return text
    }
  }
  const messages = [{ role: 'user', content: 'go on' }]
  const streams = await Promise.all([
    open('/v1/messages', { messages, max_tokens: 4000, ignore_eos: true }),
    open('/v1/responses', { input: 'go on', max_output_tokens: 4000, ignore_eos: true }),
  ])
  cluster.engines[0]!.kill()
  const [anthropic, responses] = await Promise.all(streams.map((rest) => rest()))
  expect(anthropic).toMatch(/\n\nevent: error\ndata: \{"type":"error","error":\{"type":"api_error"/)
  expect(responses).toMatch(/\n\nevent: error\ndata: \{.*"type":"error".*"error":\{/)
})
