/** Engines that answer what no engine should, on real sockets. */
import { createHash, createHmac } from 'node:crypto'
import { createServer as createHttp } from 'node:http'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { startAgent, type RunningAgent } from '../../cluster-agent/agent.ts'
import { parseAgentConfig } from '../../cluster-agent/config.ts'
import type { FinishedRequest } from '../../cluster-agent/finished-request.ts'
import { TEST_SECRETS } from '../support/cluster.ts'

const MODEL = 'm'
const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

/** Answers GETs like a healthy engine, and each POST by hand; `posts` are their bodies. */
async function rawEngine(
  answer: (socket: Socket, body: string, head: string) => void,
): Promise<{ url: string; posts: string[] }> {
  const sockets = new Set<Socket>()
  const posts: string[] = []
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    let text = ''
    socket.on('data', (data) => {
      text += data.toString('latin1')
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) return
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)
      const body = text.slice(end + 4, end + 4 + length)
      if (body.length < length) return
      const head = text.slice(0, end)
      text = ''
      if (head.startsWith('GET')) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
      else if (!head.startsWith('POST /v1/chat/completions ')) socket.write(json({}, 404))
      else {
        posts.push(body)
        answer(socket, body, head)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, posts }
}

interface Endpoint {
  readonly name: string
  readonly url: string
  readonly role?: string
  readonly [field: string]: unknown
}

interface Running {
  readonly agent: RunningAgent
  readonly finished: FinishedRequest[]
  ask(fields?: object, signal?: AbortSignal): Promise<Response>
}

async function agentBefore(endpoints: readonly Endpoint[]): Promise<Running> {
  const finished: FinishedRequest[] = []
  const config = parseAgentConfig(
    {
      cluster: 'c',
      region: 'r',
      listen: { host: '127.0.0.1', port: 0 },
      models: [{ model: MODEL, contextTokensMax: 32_768, kvBytesPerToken: 1000 }],
      endpoints: endpoints.map(({ name, url, ...rest }, i) => ({
        endpoint: name,
        url,
        version: '0.32.0',
        events: `tcp://127.0.0.1:${9 + i}`,
        profile: {
          // What is named first is cheapest, by far for prefill where there are roles.
          prefill: {
            fixedMs: rest.role === 'decode' ? 5000 : 1 + i * 100,
            msPerToken: 0.01,
            msPerTokenPair: 0,
          },
          decodeStepMs: 1,
          kvTokens: 100_000,
        },
        ...rest,
      })),
      standalone: { tenant: 't', shareScope: 's' },
      silenceMsMax: 300,
    },
    TEST_SECRETS,
  )
  const agent = await startAgent(config, undefined, [{ noteFinished: (one) => finished.push(one) }])
  closers.push(() => agent.stop(0))
  return {
    agent,
    finished,
    ask: (fields = {}, signal) =>
      fetch(`${agent.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'hi' }], ...fields }),
        ...(signal ? { signal } : {}),
      }),
  }
}

const json = (body: unknown, status = 200) => {
  const text = JSON.stringify(body)
  return `HTTP/1.1 ${status} X\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`
}
const GOOD = {
  choices: [{ message: { role: 'assistant', content: 'good' } }],
  usage: { prompt_tokens: 3, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 2 } },
}
const good = () => rawEngine((socket) => socket.write(json(GOOD)))

test.each<[string, (socket: Socket) => void]>([
  ['bytes that are no HTTP', (socket) => socket.write('\u0000\u0001garbage\r\n\r\n')],
  ['headers that do not end', (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}`)],
  ['headers never', () => undefined],
  ['headers and then nothing', (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n')],
  ['an end before its headers', (socket) => socket.destroy()],
  ['a full queue', (socket) => socket.write(json({ error: {} }, 503))],
  ['a fault', (socket) => socket.write(json({ error: {} }, 500))],
])('an engine that answers %s is passed over before the first byte', async (_, answer) => {
  const bad = await rawEngine(answer)
  const { url } = await good()
  const { agent, ask, finished } = await agentBefore([
    { name: 'bad', url: bad.url },
    { name: 'good', url },
  ])
  const response = await ask()
  expect(await response.json()).toEqual(GOOD)
  expect(bad.posts).toHaveLength(1)
  expect(finished).toMatchObject([
    {
      end: 'complete',
      status: 200,
      prefillEndpoint: 'good',
      promptTokens: 3,
      cachedTokens: 2,
      outputTokens: 1,
    },
  ])
  expect(agent.cluster.bookings.count).toBe(0)
})

test('a stream that begins with an error event is passed over like a fault', async () => {
  const event = 'data: {"error":{"message":"pull failed","code":500}}\n\ndata: [DONE]\n\n'
  const bad = await rawEngine((socket) =>
    socket.write(
      `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: ${event.length}\r\n\r\n${event}`,
    ),
  )
  const text = 'data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: [DONE]\n\n'
  const other = await rawEngine((socket) =>
    socket.write(
      `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: ${text.length}\r\n\r\n${text}`,
    ),
  )
  const { ask, finished } = await agentBefore([
    { name: 'bad', url: bad.url },
    { name: 'other', url: other.url },
  ])
  expect(await (await ask({ stream: true })).text()).toBe(text)
  expect(finished).toMatchObject([{ end: 'complete', outputTokens: 1, promptTokens: null }])
})

test('half an answer is not a whole one', async () => {
  const { url } = await rawEngine((socket) =>
    socket.write(
      'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"half',
      () => socket.destroy(),
    ),
  )
  const { ask, finished } = await agentBefore([{ name: 'a', url }])
  await expect(ask().then((response) => response.text())).rejects.toThrow()
  await expect.poll(() => finished).toMatchObject([{ end: 'broken' }])
})

test('full queues everywhere are said to be that', async () => {
  const { url } = await rawEngine((socket) => socket.write(json({ error: {} }, 503)))
  const { ask, finished } = await agentBefore([{ name: 'a', url }])
  const response = await ask()
  expect(response.status).toBe(429)
  expect(response.headers.get('retry-after')).toBe('1')
  expect(finished).toMatchObject([{ end: 'failed', status: 429 }])
})

const PARAMS = {
  do_remote_prefill: true,
  do_remote_decode: false,
  remote_block_ids: [[1]],
  remote_engine_id: 'e',
  remote_request_id: 'r-1',
  remote_host: '127.0.0.1',
  remote_port: 5600,
  remote_num_tokens: 3,
}
const paramsOf = (body: string) =>
  (JSON.parse(body) as { kv_transfer_params: object | null }).kv_transfer_params

test.each<[string, unknown]>([
  ['no params', null],
  ['params without an id', { ...PARAMS, remote_request_id: undefined }],
  ['params with an empty id', { ...PARAMS, remote_request_id: '' }],
  ['params of another kind', 'x'],
  ['params without blocks', { ...PARAMS, remote_block_ids: [] }],
])('a prefill leg that gives %s leaves the prompt to the decode engine', async (_, params) => {
  const p = await rawEngine((socket) => socket.write(json({ ...GOOD, kv_transfer_params: params })))
  const d = await good()
  const { ask } = await agentBefore([
    { name: 'p', url: p.url, role: 'prefill' },
    { name: 'd', url: d.url, role: 'decode' },
  ])
  expect((await ask()).status).toBe(200)
  expect(p.posts).toHaveLength(1)
  expect(d.posts.map(paramsOf)).toEqual([null])
})

test('params go out verbatim and once, with the exact tokens; what the client said of them never does', async () => {
  let answers = 0
  const p = await rawEngine((socket) => {
    const id = `r-${++answers}`
    const params = { ...PARAMS, remote_request_id: id, unknown: { a: [1.5] } }
    socket.write(json({ ...GOOD, prompt_token_ids: [7, 8, 9], kv_transfer_params: params }))
  })
  let legs = 0
  const d = await rawEngine((socket) => socket.write(++legs === 1 ? json({}, 500) : json(GOOD)))
  const { ask, finished } = await agentBefore([
    { name: 'p', url: p.url, role: 'prefill' },
    { name: 'd', url: d.url, role: 'decode' },
  ])
  const evil = { kv_transfer_params: { do_remote_prefill: true, remote_request_id: 'evil' } }
  expect(await (await ask(evil)).json()).toEqual(GOOD)
  // The pull may be what failed: decode computes itself, and the params are not used again.
  expect(d.posts.map(paramsOf)).toEqual([
    { ...PARAMS, remote_request_id: 'r-1', unknown: { a: [1.5] }, prompt_token_ids: [7, 8, 9] },
    null,
  ])
  expect(JSON.parse(p.posts[0]!)).toMatchObject({ stream: false, max_tokens: 1, return_token_ids: true })
  expect(finished).toMatchObject([{ end: 'complete', prefillEndpoint: 'd', decodeEndpoint: 'd' }])
})

test('when a pull fails the next source is the tier of a replica that holds more', async () => {
  const p = await rawEngine((socket) => socket.write(json({ ...GOOD, kv_transfer_params: PARAMS })))
  let legs = 0
  const d = await rawEngine((socket) => socket.write(++legs === 1 ? json({}, 500) : json(GOOD)))
  const { agent, ask } = await agentBefore([
    { name: 'p', url: p.url, role: 'prefill', peerTier: '10.0.0.1:5710' },
    { name: 'd', url: d.url, role: 'decode', peerTier: '10.0.0.2:5710' },
  ])
  const price = agent.cluster.price.bind(agent.cluster)
  agent.cluster.price = (...args) => {
    const priced = price(...args)
    const candidates = priced.candidates.map((one) =>
      one.endpoint.name === 'p' ? { ...one, runs: [{ tier: 2, blocks: 40 }] } : one,
    )
    return { ...priced, candidates } as typeof priced
  }
  expect((await ask()).status).toBe(200)
  expect(d.posts.map(paramsOf)).toEqual([
    PARAMS,
    { remote_kv_source: { kv_request_id: expect.any(String), remote_host: '10.0.0.1', remote_port: 5710 } },
  ])
})

test.each(['prefill', 'decode'])('a client that leaves in the %s leg closes it', async (phase) => {
  const legs: { prefill: Socket[]; decode: Socket[] } = { prefill: [], decode: [] }
  const p = await rawEngine((socket) => {
    legs.prefill.push(socket)
    if (phase === 'decode') socket.write(json({ ...GOOD, kv_transfer_params: PARAMS }))
  })
  const chunk = 'transfer-encoding: chunked\r\n\r\n5\r\ndata:\r\n'
  const d = await rawEngine((socket) => {
    legs.decode.push(socket)
    socket.write(`HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n${chunk}`)
  })
  const { agent, ask, finished } = await agentBefore([
    { name: 'p', url: p.url, role: 'prefill' },
    { name: 'd', url: d.url, role: 'decode' },
  ])
  const leaving = new AbortController()
  ask({ stream: true }, leaving.signal).catch(() => undefined)
  const open = legs[phase as keyof typeof legs]
  await expect.poll(() => open.length).toBe(1)
  leaving.abort()
  await expect.poll(() => open[0]!.destroyed).toBe(true)
  await expect.poll(() => agent.cluster.bookings.count).toBe(0)
  await expect.poll(() => finished).toMatchObject([{ end: 'client-left', status: 499 }])
})

test('a caller whose deadline passes before the first byte is told so, and the engine let go', async () => {
  const sockets: Socket[] = []
  const { url } = await rawEngine((socket) => void sockets.push(socket))
  const { agent, finished } = await agentBefore([{ name: 'a', url }])
  const [secret = ''] = agent.cluster.config.secrets.envelopes
  const body = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'hi' }] })
  const nowMs = Date.now()
  const sent = {
    v: 2,
    requestId: 'request-1',
    attempt: 2,
    tenant: 'tenant',
    shareScope: 's',
    cluster: 'c',
    model: MODEL,
    stream: false,
    outputTokensMax: null,
    markers: '',
    promptBytes: 10,
    issuedMs: nowMs,
    nonce: 'n'.repeat(22),
    deadlineMs: nowMs + 100,
    edgeRegion: 'edge',
  }
  const payload = Buffer.from(JSON.stringify(sent)).toString('base64url')
  const digest = createHash('sha256').update(body).digest('hex')
  const signature = createHmac('sha256', secret)
    .update(`isotherm-envelope-v1\nPOST\n/v1/chat/completions\n${digest}\n${payload}\n`)
    .digest('base64url')
  const response = await fetch(`${agent.url}/v1/chat/completions`, {
    method: 'POST',
    body,
    headers: { 'x-isotherm-envelope': `${payload}.${signature}` },
  })
  expect(response.status).toBe(504)
  await expect.poll(() => sockets[0]!.destroyed).toBe(true)
  expect(agent.cluster.unavailable(0)).toBeNull()
  expect(finished).toMatchObject([
    { end: 'failed', status: 504, requestId: 'request-1', attempt: 2, tenant: 'tenant', edgeRegion: 'edge' },
  ])
})

test('with Mooncake both legs go out at once and name one transfer; a prefill that fails ends decode and both are tried anew', async () => {
  let asked = 0
  const p = await rawEngine((socket) =>
    ++asked === 1 ? socket.write(json({}, 500)) : socket.write(json(GOOD)),
  )
  const q = await rawEngine((socket) => socket.write(json(GOOD)))
  const d = await rawEngine((socket, body) => {
    // The first decode leg waits for KV that never comes.
    if (JSON.stringify(paramsOf(body)).includes('engine-q')) socket.write(json(GOOD))
  })
  const servers = ['engine-p', 'engine-q'].map((id) =>
    createHttp((_, res) => res.end(JSON.stringify({ '0': { engine_id: id } }))),
  )
  const urls = await Promise.all(
    servers.map(
      (server) =>
        new Promise<string>((resolve) =>
          server.listen(0, '127.0.0.1', () =>
            resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
          ),
        ),
    ),
  )
  closers.push(async () => {
    for (const server of servers) {
      server.closeAllConnections()
      server.close()
    }
  })
  const { agent, ask } = await agentBefore([
    { name: 'p', url: p.url, role: 'prefill', connector: 'mooncake', bootstrap: urls[0] },
    { name: 'q', url: q.url, role: 'prefill', connector: 'mooncake', bootstrap: urls[1] },
    { name: 'd', url: d.url, role: 'decode', connector: 'mooncake' },
  ])
  expect(await (await ask()).json()).toMatchObject({ choices: GOOD.choices })
  const [first, second] = d.posts.map(paramsOf) as Record<string, unknown>[]
  expect(first).toMatchObject({ remote_bootstrap_addr: urls[0], remote_engine_id: 'engine-p' })
  expect(second).toMatchObject({ remote_bootstrap_addr: urls[1], remote_engine_id: 'engine-q' })
  expect(first!['transfer_id']).not.toBe(second!['transfer_id'])
  expect(paramsOf(q.posts[0]!)).toMatchObject({ transfer_id: second!['transfer_id'], do_remote_decode: true })
  await expect.poll(() => agent.cluster.bookings.count).toBe(0)
})

test('a prefill engine that dies hands over to another one, with a transfer of its own', async () => {
  const dead = await rawEngine((socket) => socket.destroy())
  const p = await rawEngine((socket) => socket.write(json({ ...GOOD, kv_transfer_params: PARAMS })))
  const d = await good()
  const { agent, ask, finished } = await agentBefore([
    { name: 'dead', url: dead.url, role: 'prefill' },
    { name: 'p', url: p.url, role: 'prefill' },
    { name: 'd', url: d.url, role: 'decode' },
  ])
  expect(await (await ask()).json()).toEqual(GOOD)
  expect(dead.posts).toHaveLength(1)
  expect(d.posts.map(paramsOf)).toEqual([PARAMS])
  expect(agent.cluster.unavailable(0)).not.toBeNull()
  expect(finished).toMatchObject([{ end: 'complete', prefillEndpoint: 'p', decodeEndpoint: 'd' }])
})

test('when every prefill engine fails the decode engine computes itself', async () => {
  const dead = await rawEngine((socket) => socket.destroy())
  const faulty = await rawEngine((socket) => socket.write(json({}, 500)))
  const d = await good()
  const { ask } = await agentBefore([
    { name: 'dead', url: dead.url, role: 'prefill' },
    { name: 'faulty', url: faulty.url, role: 'prefill' },
    { name: 'd', url: d.url, role: 'decode' },
  ])
  expect(await (await ask()).json()).toEqual(GOOD)
  expect(d.posts.map(paramsOf)).toEqual([null])
})

test('a stream through engines of 0.23 says what the prefill leg had cached, and only to who asked', async () => {
  const details = { prompt_tokens_details: { cached_tokens: 1 } }
  const p = await rawEngine((socket) =>
    socket.write(
      json({ usage: { prompt_tokens: 3, completion_tokens: 1, ...details }, kv_transfer_params: PARAMS }),
    ),
  )
  const event = (fields: object) => `data: ${JSON.stringify(fields)}\n\n`
  const last = event({ choices: [{ index: 0, delta: { content: 'x' }, finish_reason: 'stop' }] })
  const usage = { prompt_tokens: 3, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 3 } }
  const text = `${last}${event({ choices: [], usage })}data: [DONE]\n\n`
  const d = await rawEngine((socket) =>
    socket.write(
      `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: ${text.length}\r\n\r\n${text}`,
    ),
  )
  const { ask, finished } = await agentBefore([
    { name: 'p', url: p.url, role: 'prefill', version: '0.23.0' },
    { name: 'd', url: d.url, role: 'decode', version: '0.23.0' },
  ])
  const asked = await (await ask({ stream: true, stream_options: { include_usage: true } })).text()
  expect(asked).toBe(`${last}${event({ choices: [], usage: { ...usage, ...details } })}data: [DONE]\n\n`)
  expect(await (await ask({ stream: true })).text()).toBe(`${last}data: [DONE]\n\n`)
  const known = { outputTokens: 2, cachedTokens: 1 }
  expect(finished).toMatchObject([known, known])
})
