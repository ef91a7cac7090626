import { randomBytes } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import type { FinishedRequest } from '../../cluster-agent/finished-request.ts'
import { startTestCluster, type TestCluster, type TestClusterOptions } from '../support/cluster.ts'
import { askSealed, begin, cancel, KEPT, retrieve } from '../support/sealed.ts'
import { until } from '../support/wait.ts'

/** What engines keep of the Responses API, asked through the agent as the edge asks. */
let cluster: TestCluster

afterEach(() => cluster?.stop())

async function start(options: TestClusterOptions = {}): Promise<void> {
  cluster = await startTestCluster({ needsEnvelope: true, ...options })
  await until('every event stream to be live', () =>
    cluster.agent.subscribers.every(({ state }) => state === 'live'),
  )
}

const newId = () => `resp_${randomBytes(16).toString('hex')}-c-1-AAAAAAAAAAAAAAAA`
const endless = { max_output_tokens: 4000, ignore_eos: true }
const isIdle = () => cluster.engines.every((engine) => engine.stats().running + engine.stats().waiting === 0)
const NOT_FOUND = {
  error: { code: 'response_not_found', type: 'invalid_request_error', param: 'response_id' },
}

async function answerOf(asking: Promise<Response>): Promise<[number, unknown]> {
  const response = await asking
  return [response.status, await response.json()]
}

/** Of a stream the types of the events, once it has ended. */
async function typesOf(asking: Promise<Response>): Promise<string[]> {
  const text = await (await asking).text()
  return [...text.matchAll(/^event: (.*)$/gm)].map(([, type]) => type ?? '')
}

test('a response is read from the engine that keeps it, whoever has more room', async () => {
  await start()
  for (let i = 0; i < 4; i++) {
    const id = newId()
    const [, answered] = await answerOf(begin(cluster, id, {}))
    const read = await retrieve(cluster, id)
    expect([read.status, await read.json()]).toEqual([200, answered])
    expect(read.headers.get('x-isotherm-agent-route')).toMatch(/^decode=test\.both-[01]; agent_ms=\d+$/)
  }
})

test('in the background it is polled until it is whole, and a cancellation reaches the engine', async () => {
  await start()
  const [id, stopped] = [newId(), newId()]
  expect(await answerOf(begin(cluster, id, { background: true }))).toMatchObject([
    200,
    { id, status: 'queued' },
  ])
  await until('the response', async () => {
    const [status, body] = await answerOf(retrieve(cluster, id))
    expect(status).toBe(200)
    return (body as { status: string }).status === 'incomplete'
  })
  await begin(cluster, stopped, { ...endless, background: true })
  await until('it to run', () => !isIdle())
  expect(await answerOf(cancel(cluster, stopped))).toMatchObject([200, { id: stopped, status: 'cancelled' }])
  await until('the engines to be idle', isIdle)
  expect(await answerOf(cancel(cluster, id))).toMatchObject([400, { error: { param: 'response_id' } }])
})

test('work in the background is load while it runs, and costs what it took, whoever waits for it', async () => {
  const finished: FinishedRequest[] = []
  await start({ observers: [{ noteFinished: (request) => void finished.push(request) }] })
  const { bookings } = cluster.agent.cluster
  const [whole, streamed, stopped] = [newId(), newId(), newId()]
  await begin(cluster, stopped, { ...endless, background: true })
  await begin(cluster, whole, { background: true })
  const reading = await begin(cluster, streamed, { background: true, stream: true })
  await reading.body?.cancel()
  const ended = (count: number) => until('the outcomes', () => finished.length === count)
  await ended(2)
  for (const { promptTokens, outputTokens } of finished) {
    expect(promptTokens).toBeGreaterThan(4)
    expect(outputTokens).toBe(4)
  }
  expect(bookings.count).toBe(1)
  await cancel(cluster, stopped)
  await ended(3)
  expect(finished[2]).toMatchObject({ end: 'complete', outputTokens: null })
  expect(bookings.count).toBe(0)
})

test('events are read again from where the client left off; a cancellation ends who reads them', async () => {
  await start()
  const id = newId()
  const background = { background: true, stream: true }
  const first = await typesOf(begin(cluster, id, background))
  expect([first[0], first.at(-1)]).toEqual(['response.created', 'response.completed'])
  expect(await typesOf(retrieve(cluster, id, { stream: true }))).toEqual(first)
  const later = retrieve(cluster, id, { stream: true, startingAfter: 1 })
  expect(await typesOf(later)).toEqual(first.slice(2))

  const stopped = newId()
  const made = begin(cluster, stopped, { ...endless, ...background })
  // Not before its first event: the engine does not know the id sooner.
  await made
  const readers = [made, retrieve(cluster, stopped, { stream: true })]
  await Promise.all(readers)
  expect((await cancel(cluster, stopped)).status).toBe(200)
  for (const types of await Promise.all(readers.map(typesOf))) {
    expect(types).toContain('response.created')
    expect(types).not.toContain('response.completed')
  }
  await until('the engines to be idle', isIdle)
  const [status, refusal] = await answerOf(retrieve(cluster, stopped, { stream: true }))
  expect([status, refusal]).toMatchObject([400, { error: { param: 'stream' } }])
})

test('a response without kept events says so', async () => {
  await start()
  for (const fields of [{}, { background: true }]) {
    const id = newId()
    await (await begin(cluster, id, fields)).text()
    const asked = answerOf(retrieve(cluster, id, { stream: true }))
    expect(await asked).toMatchObject([400, { error: { type: 'invalid_request_error', param: 'stream' } }])
  }
})

test('404 for what no engine has, 503 for what a silent one may have', async () => {
  await start()
  expect(await answerOf(retrieve(cluster, newId()))).toMatchObject([404, NOT_FOUND])
  expect(await answerOf(cancel(cluster, newId()))).toMatchObject([404, NOT_FOUND])
  const id = newId()
  await (await begin(cluster, id, {})).text()
  for (const engine of cluster.engines) engine.kill()
  const unreachable = [503, { error: { code: 'response_unreachable' } }]
  expect(await answerOf(retrieve(cluster, id))).toMatchObject(unreachable)
  expect(await answerOf(retrieve(cluster, newId()))).toMatchObject(unreachable)
  cluster.agent.roster.apply([])
  await until('the engine to be let go', async () => (await retrieve(cluster, id)).status === 404)
})

test('an agent that is younger than a response finds it, to read it and to continue from it', async () => {
  await start({ engines: ['both-0', 'both-1', 'decode-0'] })
  const id = newId()
  // As if another life of the agent had sent it.
  const body = { model: cluster.model, input: 'x', max_output_tokens: 4, request_id: id }
  await fetch(`${cluster.engines[1]!.url}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const read = await retrieve(cluster, id)
  expect([read.status, read.headers.get('x-isotherm-agent-route')]).toEqual([
    200,
    expect.stringMatching(/^decode=test\.both-1;/),
  ])
  // One of the two is not the one that a price would choose.
  for (const [name, engine] of [
    ['both-0', cluster.engines[0]!],
    ['both-1', cluster.engines[1]!],
  ] as const) {
    const another = newId()
    await fetch(`${engine.url}/v1/responses`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...body, request_id: another }),
    })
    const next = await begin(cluster, newId(), { previous_response_id: another })
    const route = next.headers.get('x-isotherm-agent-route')
    expect([next.status, route]).toEqual([200, expect.stringContaining(`decode=test.${name};`)])
  }
})

test('the prefill leg of a hand-off keeps nothing under the id, and work in the background has none', async () => {
  await start({ engines: ['prefill-0', 'decode-0'], engine: { speed: 1 } })
  const [prefill, decode] = cluster.engines
  const busy = Array.from({ length: 3 }, () =>
    begin(cluster, newId(), { max_output_tokens: 300, ignore_eos: true }),
  )
  await until('the decode engine to decode', () => decode!.stats().running > 0)
  const long = { input: 'bada dedo gigo haha lelo mimo nana popo rere soso '.repeat(400) }
  const id = newId()
  const split = await begin(cluster, id, long)
  expect(split.headers.get('x-isotherm-agent-route')).toMatch(
    /prefill=test\.prefill-0; decode=test\.decode-0/,
  )
  await split.text()
  expect((await fetch(`${prefill!.url}/v1/responses/${id}`)).status).toBe(404)
  expect((await fetch(`${decode!.url}/v1/responses/${id}`)).status).toBe(200)
  const later = await begin(cluster, newId(), { ...long, input: `again ${long.input}`, background: true })
  const route = later.headers.get('x-isotherm-agent-route') ?? ''
  expect(/prefill=([^;]+)/.exec(route)?.[1]).toBe(/decode=([^;]+)/.exec(route)?.[1])
  await Promise.all(busy.map(async (asking) => (await asking).text()))
})

test.each([
  ['another method', { signed: { method: 'POST' } }],
  ['another path', { signed: { path: '/v1/responses/resp_other' } }],
  ['another body', { signed: { text: '{}' } }],
  ['another cluster', { envelope: { ...KEPT, cluster: 'elsewhere' } }],
  ['another form', { envelope: { ...KEPT, model: 'm' } }],
  ['another time', { envelope: { ...KEPT, issuedMs: Date.now() - 120_000 } }],
])('an envelope for %s is refused', async (_, change) => {
  await start({ engines: ['both-0'] })
  const id = newId()
  await (await begin(cluster, id, {})).text()
  const sealed = {
    method: 'GET',
    path: `/v1/responses/${id}`,
    body: null,
    envelope: KEPT,
    ...change,
  } as const
  expect(await answerOf(askSealed(cluster, sealed))).toMatchObject([403, { error: { code: 'forbidden' } }])
})

test('without an envelope nothing is told; a query outside the envelope is not looked at', async () => {
  await start({ engines: ['both-0'] })
  const id = newId()
  await (await begin(cluster, id, {})).text()
  const path = `/v1/responses/${id}`
  expect((await fetch(`${cluster.agent.url}${path}`)).status).toBe(403)
  expect((await fetch(`${cluster.agent.url}${path}/cancel`, { method: 'POST' })).status).toBe(403)
  expect((await fetch(`${cluster.agent.url}${path}`, { method: 'DELETE' })).status).toBe(405)
  const asked = askSealed(cluster, {
    method: 'GET',
    path: `${path}?stream=true`,
    body: null,
    envelope: KEPT,
    signed: { path },
  })
  expect(await answerOf(asked)).toMatchObject([200, { object: 'response' }])
})

test('an agent without an edge takes the query', async () => {
  cluster = await startTestCluster({ engines: ['both-0'] })
  const ask = (path: string, init?: RequestInit) => fetch(`${cluster.agent.url}/v1/responses${path}`, init)
  const begun = await ask('', {
    method: 'POST',
    body: JSON.stringify({
      model: cluster.model,
      input: 'x',
      max_output_tokens: 4,
      background: true,
      stream: true,
    }),
  })
  const id = /"id":"(resp_[0-9a-f]+)"/.exec(await begun.text())?.[1] ?? ''
  const types = await typesOf(ask(`/${id}?stream=true&starting_after=1`))
  expect(types.at(-1)).toBe('response.completed')
  expect(types).not.toContain('response.created')
  expect((await ask(`/${id}?stream=maybe`)).status).toBe(400)
  expect((await ask(`/${id}/cancel`, { method: 'POST', body: '{}' })).status).toBe(400)
})
