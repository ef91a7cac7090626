import { afterEach, expect, test } from 'vitest'
import { startTestCluster, type TestCluster, type TestClusterOptions } from '../support/cluster.ts'
import { until } from '../support/wait.ts'

/** The agent over real HTTP and ZMQ, in front of simulated engines. */
let cluster: TestCluster

afterEach(() => cluster?.stop())

async function start(options?: TestClusterOptions): Promise<void> {
  cluster = await startTestCluster(options)
  await until('every event stream to be live', () =>
    cluster.agent.subscribers.every(({ state }) => state === 'live'),
  )
}

interface Answer {
  readonly status: number
  readonly route: Record<string, string>
  readonly json: {
    choices?: { text?: string; message?: { content: string } }[]
    usage?: { prompt_tokens: number; prompt_tokens_details?: { cached_tokens: number } | null }
    error?: { code: string }
  }
}

function send(body: Record<string, unknown>, init: RequestInit & { path?: string } = {}): Promise<Response> {
  return fetch(`${cluster.agent.url}${init.path ?? '/v1/chat/completions'}`, {
    method: 'POST',
    body: JSON.stringify({ model: cluster.model, max_tokens: 4, ...body }),
    ...init,
    headers: { 'content-type': 'application/json', ...(init.headers as Record<string, string> | undefined) },
  })
}

async function ask(
  body: Record<string, unknown>,
  init: RequestInit & { path?: string } = {},
): Promise<Answer> {
  const response = await send(body, init)
  const header = response.headers.get('x-isotherm-agent-route') ?? ''
  const route = Object.fromEntries(header.split('; ').map((pair) => pair.split('=') as [string, string]))
  return { status: response.status, route, json: (await response.json()) as Answer['json'] }
}

const chat = (content: string, system = 'be brief') => ({
  messages: [
    { role: 'system', content: system },
    { role: 'user', content },
  ],
})
const SYSTEM = 'bada dedo gigo haha lelo mimo nana popo rere soso tito vavo zizo '.repeat(60)
const cachedOf = ({ json }: Answer) => json.usage?.prompt_tokens_details?.cached_tokens ?? 0

/** Until the prompt just asked is learnt and every block of it has been announced. */
async function settled(): Promise<void> {
  await until('prompts to be learnt', () => cluster.agent.learner.pending === 0)
  await until('engines to be idle', () =>
    cluster.engines.every((engine) => engine.stats().running + engine.stats().waiting === 0),
  )
  const truth = () => cluster.engines.map((engine) => new Set(engine.residency().gpu).size)
  const known = () =>
    cluster.engines.map((_, i) => cluster.agent.cluster.states[0]!.index.residentHashes(i, 1).length)
  await until(
    `the index ${JSON.stringify(known())} to hold what the engines hold ${JSON.stringify(truth())}`,
    () => truth().join() === known().join(),
  )
}

test('an answer through the hand-off equals that of one engine', async () => {
  await start({ engines: ['prefill-0', 'decode-0'], engine: { speed: 1 } })
  // A busy decode engine makes the split pay.
  const background = Array.from({ length: 3 }, (_, i) =>
    ask({ ...chat(`background ${i}`), max_tokens: 200, ignore_eos: true }),
  )
  await until('the decode engine to decode them all', () => cluster.engines[1]!.stats().running === 3)
  const split = await ask(chat('what is split?', SYSTEM.repeat(4)))
  expect(split.route).toMatchObject({ prefill: 'test.prefill-0', decode: 'test.decode-0' })
  const direct = await fetch(`${cluster.engines[1]!.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: cluster.model,
      max_tokens: 4,
      ...chat('what is split?', SYSTEM.repeat(4)),
    }),
  })
  const whole = (await direct.json()) as Answer['json']
  expect(split.json.choices?.[0]?.message?.content).toBe(whole.choices?.[0]?.message?.content)
  await Promise.all(background)
})

test('a warm follow-up goes where its prefix lies, and the predicted match is what the engine reports', async () => {
  await start()
  const first = await ask(chat('first', SYSTEM))
  expect(first).toMatchObject({ status: 200, route: { matched_tokens: '0' } })
  await settled()
  for (const question of ['second', 'third one', 'and a fourth']) {
    const next = await ask(chat(question, SYSTEM))
    expect(next.route['prefill']).toBe(first.route['prefill'])
    expect(cachedOf(next)).toBeGreaterThan(700)
    // The marker at the end of the system message is certain to within one block.
    expect(Math.abs(Number(next.route['matched_tokens']) - cachedOf(next))).toBeLessThanOrEqual(16)
    await settled()
  }
  const repeated = await ask(chat('first', SYSTEM))
  expect(Number(repeated.route['matched_tokens'])).toBeGreaterThan(700)
})

test('prompts are learnt from an engine when there are no files', async () => {
  await start({ withoutFiles: true })
  await ask(chat('first', SYSTEM))
  await settled()
  const next = await ask(chat('second', SYSTEM))
  expect(cachedOf(next)).toBeGreaterThan(700)
  expect(Math.abs(Number(next.route['matched_tokens']) - cachedOf(next))).toBeLessThanOrEqual(16)
})

test('the prefix of one share scope is cold for another', async () => {
  await start({ engines: ['both-0'] })
  await ask(chat('first', SYSTEM))
  await settled()
  expect(cachedOf(await ask(chat('second', SYSTEM)))).toBeGreaterThan(700)
  const direct = await fetch(`${cluster.engines[0]!.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: cluster.model,
      max_tokens: 1,
      cache_salt: 'another',
      ...chat('second', SYSTEM),
    }),
  })
  const { usage } = (await direct.json()) as Answer['json']
  expect(usage?.prompt_tokens_details?.cached_tokens ?? 0).toBe(0)
})

test('lost events are replayed', async () => {
  await start({ engines: ['both-0'] })
  const [engine] = cluster.engines
  let dropped = 0
  engine!.faults.dropEvents = () => dropped++ < 2
  for (let i = 0; i < 4; i++) await ask(chat(`question ${i}`, `${SYSTEM} ${i}`))
  await settled()
  expect(cluster.agent.subscribers[0]!.counts.gaps).toBeGreaterThan(0)
  expect(cluster.agent.subscribers[0]!.counts.replayed).toBeGreaterThan(0)
})

test('an engine that dies is left, and its residency with it', async () => {
  await start()
  const first = await ask(chat('first', SYSTEM))
  await settled()
  const victim = cluster.engines.findIndex(({ name }) => name === first.route['prefill'])
  cluster.engines[victim]!.kill()
  const next = await ask(chat('second', SYSTEM))
  expect(next.status).toBe(200)
  expect(next.route['prefill']).not.toBe(first.route['prefill'])
  await until(
    'the dead engine to be forgotten',
    () => cluster.agent.cluster.states[0]!.index.residentHashes(victim, 1).length === 0,
  )
})

test('no engine left: a clear error', async () => {
  await start({ engines: ['both-0'] })
  cluster.engines[0]!.kill()
  expect(await ask(chat('x'))).toMatchObject({ status: 503, json: { error: { code: 'no_endpoint' } } })
})

test('an engine that never answers is left after its bound; one that fails is left at once', async () => {
  await start({ agent: { silenceMsMax: 200 } })
  cluster.engines[0]!.faults.silent = true
  for (let i = 0; i < 3; i++) expect((await ask(chat(`q ${i}`))).route['prefill']).toBe('test.both-1')
  cluster.engines[0]!.faults.silent = false
  cluster.engines[1]!.faults.failStatus = 500
  await until(
    'the first to be back',
    async () => (await ask(chat('again'))).route['prefill'] === 'test.both-0',
  )
})

test("the engine's refusals reach the caller as they are", async () => {
  await start({ engines: ['prefill-0', 'decode-0'] })
  const response = await send({ prompt: 'bada '.repeat(140_000) }, { path: '/v1/completions' })
  expect(response.status).toBe(400)
  expect(await response.json()).toMatchObject({ error: { type: 'BadRequestError' } })
})

test('a client that leaves frees the engine, in prefill and in mid-stream', async () => {
  await start({ engines: ['both-0'], engine: { speed: 0.5 } })
  const [engine] = cluster.engines
  for (const [body, phase] of [
    [chat('bada '.repeat(30_000)), 'prefill'],
    [{ ...chat('hi'), stream: true, max_tokens: 1000, ignore_eos: true }, 'decode'],
  ] as const) {
    const leaving = new AbortController()
    const request = send(body, { signal: leaving.signal })
    request.catch(() => undefined)
    await until(`the engine to work in ${phase}`, () => engine!.stats().running > 0)
    if (phase === 'decode') await (await request).body!.getReader().read()
    leaving.abort()
    await until(
      `the engine to be free after ${phase}`,
      () => engine!.stats().running + engine!.stats().waiting === 0,
    )
  }
  expect(engine!.stats().aborted).toBe(2)
  await until('bookings to be gone', () => cluster.agent.cluster.bookings.count === 0)
})

test('an engine that dies in mid-stream ends the stream with an error event', async () => {
  await start({ engines: ['both-0'], engine: { speed: 1 } })
  const response = await send({ ...chat('hi'), stream: true, max_tokens: 1000, ignore_eos: true })
  const reader = response.body!.getReader()
  await reader.read()
  cluster.engines[0]!.kill()
  let text = ''
  for (let part = await reader.read(); !part.done; part = await reader.read())
    text += new TextDecoder().decode(part.value)
  expect(text).toMatch(
    /data: \{"error":\{"message":".*","type":"server_error","param":null,"code":"upstream_failed"\}\}\n\ndata: \[DONE\]\n\n$/,
  )
})

test('bookings return to zero after a burst', async () => {
  await start({ engines: ['prefill-0', 'prefill-1', 'decode-0'] })
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => ask(chat(`burst ${i}`, i % 2 ? SYSTEM : 'short'))),
  )
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200))
  expect(cluster.agent.cluster.bookings.count).toBe(0)
})

test('local routes, unknown routes and bad bodies', async () => {
  await start({ engines: ['both-0'] })
  const get = (path: string) => fetch(`${cluster.agent.url}${path}`)
  expect(await (await get('/healthz')).json()).toEqual({ status: 'ok', endpoints: 1 })
  expect(await (await get('/v1/models')).json()).toMatchObject({ data: [{ id: cluster.model }] })
  expect((await get('/debug/residency')).status).toBe(404)
  expect((await get('/nowhere')).status).toBe(404)
  expect((await get('/v1/completions')).status).toBe(405)
  const post = (body: string) => send({}, { body })
  expect((await post('{')).status).toBe(400)
  expect((await post('[]')).status).toBe(400)
  expect((await post('{"model":"other","messages":[]}')).status).toBe(404)
  expect((await post(JSON.stringify({ model: cluster.model, messages: [] }))).status).toBe(400)
})

test('without standalone mode an envelope is needed', async () => {
  await start({ engines: ['both-0'], needsEnvelope: true })
  expect(await ask(chat('x'))).toMatchObject({ status: 403, json: { error: { code: 'forbidden' } } })
})
