import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startFakeCluster, type FakeCluster } from '../support/fake-cluster.ts'
import { sha256, startLoneEdge, type LoneEdge } from '../support/lone-edge.ts'
import { until } from '../support/wait.ts'

/** What clients do wrong, and how they leave, on bare workerd in front of clusters that are no agents. */
const KEY = 'iso-test-key'
const ENDLESS_KEY = 'iso-endless-key'
let edge: LoneEdge
let cluster: FakeCluster
let endless: FakeCluster

beforeAll(async () => {
  cluster = await startFakeCluster('well')
  endless = await startFakeCluster('endless', 'endless stream')
  const tenant = (name: string, key: string) => ({
    tenant: name,
    apiKeySha256: [sha256(key)],
    policy: { regions: [name] },
  })
  edge = await startLoneEdge({
    config: {
      homeRegion: 'well',
      regions: [{ region: 'well' }],
      clusters: [
        { cluster: 'well-1', region: 'well', url: cluster.url },
        { cluster: 'endless-1', region: 'endless', url: endless.url },
      ],
      tenants: [tenant('well', KEY), tenant('endless', ENDLESS_KEY)],
    },
  })
})
afterAll(async () => {
  await Promise.all([edge?.stop(), cluster?.stop(), endless?.stop()])
})

const headersFor = (key: string) => ({ authorization: `Bearer ${key}`, 'content-type': 'application/json' })
const messages = [{ role: 'user', content: 'hello' }]

async function post(
  body: string | ReadableStream,
  path = '/v1/chat/completions',
  more: Record<string, string> = {},
) {
  const response = await fetch(edge.origin + path, {
    method: 'POST',
    headers: { ...headersFor(KEY), ...more },
    body,
    duplex: 'half',
  } as RequestInit)
  return { status: response.status, text: await response.text(), headers: response.headers }
}
const lastBody = () => cluster.requests.at(-1)?.body ?? ''

describe('bodies', () => {
  test('32 MiB in one string pass byte for byte; one byte more is refused', async () => {
    const frame = (content: string) => JSON.stringify({ model: 'm', messages: [{ role: 'user', content }] })
    const room = 32 * 1024 * 1024 - frame('').length
    const largest = frame('x'.repeat(room))
    expect((await post(largest)).status).toBe(200)
    expect(sha256(lastBody())).toBe(sha256(largest))
    const before = cluster.requests.length
    const path = `${edge.origin}/v1/chat/completions`
    const headers = { ...headersFor(KEY), 'content-length': 32 * 1024 * 1024 + 1 }
    // Its length is believed: the answer does not wait for the body.
    const announced = await new Promise<number | undefined>((resolve, reject) => {
      const request = httpRequest(path, { method: 'POST', headers })
      request.once('response', ({ statusCode }) => resolve(statusCode)).once('error', reject)
      request.flushHeaders()
    })
    expect(announced).toBe(413)
    // Whoever goes on sending may find the connection closed before the answer is read.
    const hidden = await post(new Blob([frame('x'.repeat(room + 1))]).stream()).then(
      ({ status }) => status,
      () => 413,
    )
    expect(hidden).toBe(413)
    expect(cluster.requests.length).toBe(before)
  })

  test('ten thousand messages', async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => ({
      role: i % 2 ? 'assistant' : 'user',
      content: `turn ${i}`,
    }))
    const body = JSON.stringify({ model: 'm', messages: many })
    expect((await post(body)).status).toBe(200)
    expect(lastBody()).toBe(body)
  })

  test('a key said twice counts as the last one says, as for the engine', async () => {
    const twice =
      '{"model":"a","messages":[{"role":"user","content":"x"}],"model":"b","stream":true,"stream":false}'
    expect((await post(twice)).headers.get('content-type')).toBe('application/json')
    expect(lastBody()).toBe(twice)
  })

  test('names of prototypes are names', async () => {
    const body = `{"__proto__":{"model":"evil","stream":true},"constructor":{"prototype":{"x":1}},"model":"m","messages":${JSON.stringify(messages)},"toString":1}`
    const answer = await post(body)
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/json'])
    expect(lastBody()).toBe(body)
    const noModel = await post(`{"__proto__":{"model":"m"},"messages":${JSON.stringify(messages)}}`)
    expect(noModel.status).toBe(400)
    const path = await post(
      JSON.stringify({ path: '__proto__', request: { model: 'm', messages } }),
      '/v1/route/explain',
    )
    expect(path.status).toBe(400)
  })

  test('deep nesting is refused or passed, never a crash', async () => {
    const deep = `{"model":"m","messages":${JSON.stringify(messages)},"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`
    expect([200, 400]).toContain((await post(deep)).status)
    const inPrompt = `{"model":"m","messages":[{"role":"user","content":[${'['.repeat(50_000)}${']'.repeat(50_000)}]}]}`
    expect([200, 400, 500]).toContain((await post(inPrompt)).status)
    expect((await post(JSON.stringify({ model: 'm', messages }))).status).toBe(200)
  })

  test('a slow upload is waited for, and passes whole', async () => {
    const body = JSON.stringify({ model: 'm', messages })
    const text = await new Promise<string>((resolve, reject) => {
      const request = httpRequest(`${edge.origin}/v1/chat/completions`, {
        method: 'POST',
        headers: headersFor(KEY),
      })
      request.once('error', reject)
      request.once('response', (response) => {
        let all = ''
        response
          .setEncoding('utf8')
          .on('data', (chunk: string) => (all += chunk))
          .once('end', () => resolve(all))
      })
      void (async () => {
        for (const piece of body.match(/.{1,8}/g) ?? []) {
          request.write(piece)
          await sleep(5)
        }
        request.end()
      })()
    })
    expect(JSON.parse(text)).toMatchObject({ model: 'well' })
    expect(lastBody()).toBe(body)
  })

  test('two requests with one id are two requests', async () => {
    const asked = cluster.requests.length
    const body = JSON.stringify({ model: 'm', messages })
    const answers = await Promise.all([1, 2].map(() => post(body, undefined, { 'x-request-id': 'same-1' })))
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    // What is set aside and settled for one must not count for the other.
    const ids = answers.map(({ headers }) => headers.get('x-request-id') ?? '')
    expect(new Set(ids).size).toBe(2)
    expect(ids.every((id) => id.startsWith('same-1'))).toBe(true)
    expect(cluster.requests.length).toBe(asked + 2)
  })
})

test('a request that hides another in its framing reaches no cluster as two', async () => {
  const asked = cluster.requests.length
  const inner = 'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}'
  const smuggled = [
    'POST /v1/chat/completions HTTP/1.1',
    'host: edge',
    `authorization: Bearer ${KEY}`,
    'content-length: 4',
    'transfer-encoding: chunked',
    '',
    `0\r\n\r\n${inner}`,
  ].join('\r\n')
  const { hostname, port } = new URL(edge.origin)
  const answer = await new Promise<string>((resolve) => {
    const socket = connect(Number(port), hostname)
    let all = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (all += chunk))
    socket.once('close', () => resolve(all)).on('error', () => undefined)
    socket.end(smuggled)
  })
  expect(answer).not.toMatch(/^HTTP\/1\.1 200/m)
  expect(cluster.requests.length).toBe(asked)
})

describe('clients that leave free the cluster, on every API', () => {
  const BODIES = {
    '/v1/chat/completions': { messages },
    '/v1/completions': { prompt: 'hello' },
    '/v1/responses': { input: 'hello' },
    '/v1/messages': { messages, max_tokens: 5 },
  }

  test.each(Object.entries(BODIES))('%s: before the first byte, streamed and whole', async (path, body) => {
    for (const stream of [true, false]) {
      const { abandoned, requests } = cluster
      const asked = requests.length
      const leaving = new AbortController()
      const asking = fetch(edge.origin + path, {
        method: 'POST',
        headers: headersFor(KEY),
        body: JSON.stringify({ model: 'm', stream, wait_ms: 30_000, ...body }),
        signal: leaving.signal,
      }).then((response) => response.text())
      asking.catch(() => undefined)
      await until('the request to arrive', () => cluster.requests.length > asked)
      leaving.abort()
      await until('the cluster to be let go', () => cluster.abandoned > abandoned, 5000)
      await expect(asking).rejects.toThrow()
    }
  })

  test.each(Object.entries(BODIES))('%s: in mid-stream', async (path, body) => {
    const { abandoned } = endless
    const leaving = new AbortController()
    const response = await fetch(edge.origin + path, {
      method: 'POST',
      headers: headersFor(ENDLESS_KEY),
      body: JSON.stringify({ model: 'm', stream: true, ...body }),
      signal: leaving.signal,
    })
    await response.body!.getReader().read()
    leaving.abort()
    await until('the cluster to be let go', () => endless.abandoned > abandoned, 5000)
  })
})

test('a reader that stops reading stops the cluster: nothing is buffered without a bound', async () => {
  const { hostname, port } = new URL(edge.origin)
  const body = JSON.stringify({ model: 'm', stream: true, messages })
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${ENDLESS_KEY}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  socket.pause()
  const before = endless.sentBytes
  await until('the stream to flow', () => endless.sentBytes > before)
  let last = -1
  await until('the stream to stand still', async () => {
    const isStill = endless.sentBytes === last
    last = endless.sentBytes
    await sleep(200)
    return isStill
  })
  // What the buffers of three sockets hold.
  expect(last - before).toBeLessThan(64 << 20)
  socket.destroy()
})
