import { createHash, createHmac } from 'node:crypto'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { markersFromText } from '../../core/marker-text.ts'
import { ENVELOPE_CONTEXT, ENVELOPE_KEY_CONTEXT, type Envelope } from '../../protocol/envelope.ts'
import type { RouteExplanation } from '../../protocol/explanation.ts'
import { MODEL } from '../directory/fake-agent.ts'
import {
  CHAT,
  completion,
  envelopeOf,
  knownEverywhere,
  newWorld,
  silence,
  status,
  stream,
  type Arrival,
  type World,
} from './edge-world.ts'
import { known } from './plan/candidates.ts'

afterEach(() => {
  vi.unstubAllGlobals()
})

const order = ({ arrivals }: World) => arrivals.map(({ cluster }) => cluster)
const codeOf = (text: string) => (JSON.parse(text) as { error: { code: string } }).error.code

/** The envelope, if its signature covers what arrived. */
function openEnvelope(arrival: Arrival): Envelope {
  const { headers, path, body } = arrival
  const [encoded = '', mac, keyId] = (headers.get('x-isotherm-envelope') ?? '').split('.')
  const digest = createHash('sha256').update(body).digest('hex')
  const signed = `${ENVELOPE_CONTEXT}\nPOST\n${path}\n${digest}\n${encoded}\n`
  expect(mac).toBe(createHmac('sha256', 'envelope-secret-of-tests').update(signed).digest('base64url'))
  expect(keyId).toBe(
    createHmac('sha256', 'envelope-secret-of-tests').update(ENVELOPE_KEY_CONTEXT).digest('hex').slice(0, 8),
  )
  return envelopeOf(arrival)
}

describe('what a cluster gets', () => {
  test('the body untouched, a signed envelope, and no header of the client but a few', async () => {
    const world = newWorld()
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
    await world.ask({
      headers: {
        traceparent,
        'x-request-id': 'req-1',
        'x-isotherm-envelope': 'forged',
        'x-isotherm-agent-route': 'forged',
        'x-forwarded-for': '1.2.3.4',
        cookie: 'secret',
      },
    })
    const [arrival] = world.arrivals
    expect([...arrival!.headers.keys()].sort()).toEqual([
      'content-type',
      'traceparent',
      'x-isotherm-envelope',
      'x-request-id',
    ])
    expect(arrival!.headers.get('traceparent')).toBe(traceparent)
    expect(new TextDecoder().decode(arrival!.body)).toBe(JSON.stringify(CHAT))
    const envelope = openEnvelope(arrival!)
    expect(envelope).toMatchObject({
      requestId: expect.stringMatching(/^req-1-[0-9a-f]{12}$/),
      attempt: 1,
      tenant: 'demo',
      cluster: 'us-east-1',
      model: MODEL,
      stream: false,
      outputTokensMax: 4,
    })
    expect(markersFromText(envelope.markers)).toEqual(world.lookups[0]?.markers)
    expect(envelope.promptBytes).toBeGreaterThan(1200)
  })

  test('a model name beyond ASCII survives the header', async () => {
    const world = newWorld()
    await world.ask({ body: { ...CHAT, model: 'modèle-模型' } })
    expect(openEnvelope(world.arrivals[0]!).model).toBe('modèle-模型')
  })

  test('share scopes have keys of their own', async () => {
    const keysOf = async (shareScope?: string) => {
      const world = newWorld({ policy: shareScope ? { shareScope } : {} })
      await world.ask()
      return world.lookups[0]?.markers
    }
    expect(await keysOf('group')).toEqual(await keysOf('group'))
    expect(await keysOf('group')).not.toEqual(await keysOf())
  })

  test('the entrance of the region that the edge belongs to', async () => {
    const world = newWorld()
    const { receipt } = await world.ask({ colo: 'FRA' })
    expect(receipt).toMatchObject({ cluster: 'eu-central-1', region: 'eu-central' })
    expect(world.arrivals[0]?.path).toBe('/v1/chat/completions')
  })
})

describe('receipts', () => {
  test('say where, why and what was expected', async () => {
    const lookup = knownEverywhere({
      'eu-central-1': known('eu-central-1', { matchedBytes: 1024, ageMs: 40 }),
    })
    const big = { ...CHAT, messages: [{ role: 'user', content: 'hello '.repeat(1_500) }] }
    const world = newWorld({ lookup })
    const { receipt } = await world.ask({ body: big })
    expect(receipt).toMatchObject({
      cluster: 'us-east-1',
      attempt: 1,
      reason: 'nearest',
      matched_tokens: 0,
      tier: 'none',
      age_ms: 100,
    })
    expect(receipt!.prompt_tokens).toBeGreaterThan(2200)
    expect(receipt!.predicted_ttft_ms).toBeGreaterThan(200)
    const nearer = await newWorld({ lookup }).ask({ body: big, colo: 'FRA' })
    expect(nearer.receipt).toMatchObject({
      cluster: 'eu-central-1',
      reason: 'warm',
      matched_tokens: 256,
      tier: 'gpu',
      age_ms: 40,
    })
  })
})

describe('failover', () => {
  test.each([
    ['refuses the connection', () => Promise.reject(new Error('connect'))],
    ['fails', status(500)],
    ['is overloaded', status(429)],
    ['has no endpoint', status(503)],
    ['redirects', status(302, { location: 'http://elsewhere.test' })],
    ['does not take the envelope', status(401)],
  ])('a cluster that %s is left for the next of the plan', async (_, serve) => {
    const world = newWorld({ serve: { 'us-east-1': serve } })
    const answer = await world.ask()
    expect(answer.status).toBe(200)
    expect(order(world)).toEqual(['us-east-1', 'eu-central-1'])
    expect(answer.receipt).toMatchObject({ cluster: 'eu-central-1', attempt: 2, reason: 'failover' })
    expect(
      world.arrivals
        .map((arrival) => openEnvelope(arrival))
        .map(({ attempt, cluster }) => [attempt, cluster]),
    ).toEqual([
      [1, 'us-east-1'],
      [2, 'eu-central-1'],
    ])
  })

  test('a cluster that is silent past its bound is left, and told so', async () => {
    const world = newWorld({ serve: { 'us-east-1': silence }, config: { stallFloorMs: 40, stallFactor: 1 } })
    const answer = await world.ask({ body: { ...CHAT, stream: true, max_tokens: 1 } })
    expect(answer.status).toBe(200)
    expect(order(world)).toEqual(['us-east-1', 'eu-central-1'])
    expect(world.arrivals[0]?.signal.aborted).toBe(true)
  })

  test.each([400, 404, 413, 422])('%i is the answer: no cluster would say otherwise', async (code) => {
    const world = newWorld({ serve: { 'us-east-1': status(code) } })
    const answer = await world.ask()
    expect([answer.status, codeOf(answer.text)]).toEqual([code, 'c'])
    expect(order(world)).toEqual(['us-east-1'])
    expect(answer.receipt).toMatchObject({ cluster: 'us-east-1' })
  })

  test('never after the first byte', async () => {
    const broken = () => {
      const encoder = new TextEncoder()
      let chunks = 0
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => {
          if (chunks++ === 0) controller.enqueue(encoder.encode('data: {"n":1}\n\n'))
          else controller.error(new Error('the cluster died'))
        },
      })
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    }
    const world = newWorld({ serve: { 'us-east-1': broken } })
    const { text } = await world.ask({ body: { ...CHAT, stream: true } })
    expect(order(world)).toEqual(['us-east-1'])
    const events = text.split('\n\n').filter((event) => event !== '')
    expect(events).toEqual(['data: {"n":1}', expect.stringMatching(/^data: \{"error":/), 'data: [DONE]'])
  })

  test('ends at attemptsMax, and says what became of it', async () => {
    const all = (serve: ReturnType<typeof status>) => ({
      'us-east-1': serve,
      'eu-central-1': serve,
      'ap-northeast-1': serve,
    })
    const two = newWorld({ serve: all(status(500)), policy: { attemptsMax: 2 } })
    const failed = await two.ask()
    expect([failed.status, codeOf(failed.text)]).toEqual([502, 'upstream_failed'])
    expect(two.arrivals).toHaveLength(2)
    const none = await newWorld({ serve: all(status(503)) }).ask()
    expect([none.status, codeOf(none.text)]).toEqual([503, 'no_endpoint'])
    const full = await newWorld({ serve: all(status(429, { 'retry-after': '7' })) }).ask()
    expect([full.status, codeOf(full.text), full.headers.get('retry-after')]).toEqual([
      429,
      'overloaded',
      '7',
    ])
  })

  test('the deadline ends everything', async () => {
    const world = newWorld({ serve: { 'us-east-1': silence }, policy: { deadlineMs: 60 } })
    const answer = await world.ask()
    expect([answer.status, codeOf(answer.text)]).toEqual([504, 'deadline_exceeded'])
    expect(world.arrivals[0]?.signal.aborted).toBe(true)
  })

  test('a cluster that keeps failing is not asked first any more', async () => {
    const world = newWorld({ serve: { 'us-east-1': status(500) } })
    const prompt = (i: number) => ({ ...CHAT, messages: [{ role: 'user', content: `prompt ${i}` }] })
    for (let i = 0; i < 4; i++) expect((await world.ask({ body: prompt(i) })).status).toBe(200)
    expect(order(world).filter((cluster) => cluster === 'us-east-1')).toHaveLength(3)
    const explained = await world.ask({ path: '/v1/route/explain', body: prompt(9) })
    expect(JSON.parse(explained.text)).toMatchObject({
      rejected: [{ cluster: 'us-east-1', reason: 'breaker-open' }],
    })
  })

  test('policy holds in failover: no other region is tried', async () => {
    const world = newWorld({ serve: { 'us-east-1': status(500) }, policy: { regions: ['us-east'] } })
    expect((await world.ask()).status).toBe(502)
    expect(order(world)).toEqual(['us-east-1'])
  })
})

describe('a directory that is no help', () => {
  const never = () => new Promise<never>(() => undefined)

  test.each([
    ['hangs', never],
    ['throws', () => Promise.reject(new Error('restarting'))],
    ['knows nobody', async () => []],
  ])('%s: the nearest healthy cluster serves', async (_, lookup) => {
    const world = newWorld({ lookup, config: { lookupTimeoutMs: 15 }, serve: { 'us-east-1': status(500) } })
    const answer = await world.ask()
    expect(answer.status).toBe(200)
    expect(order(world)).toEqual(['us-east-1', 'eu-central-1'])
    expect(answer.receipt?.age_ms).toBe(-1)
  })

  test('load of a moment ago still counts', async () => {
    let isUp = true
    const busy = knownEverywhere({ 'us-east-1': known('us-east-1', { loads: { backlogMs: 10_000 } }) })
    const world = newWorld({ lookup: () => (isUp ? busy() : never()), config: { lookupTimeoutMs: 15 } })
    expect((await world.ask()).receipt).toMatchObject({ cluster: 'eu-central-1', reason: 'least-wait' })
    isUp = false
    const other = { ...CHAT, messages: [{ role: 'user', content: 'another prompt '.repeat(80) }] }
    const { receipt } = await world.ask({ body: other })
    expect(receipt).toMatchObject({ cluster: 'eu-central-1', reason: 'no-directory' })
  })
})

describe('explain', () => {
  const lookup = knownEverywhere({
    'us-east-1': known('us-east-1', { loads: { backlogMs: 5000 } }),
    'ap-northeast-1': known('ap-northeast-1', { draining: true }),
  })

  test.each([
    ['wrapped', { path: '/v1/chat/completions', request: CHAT }],
    ['bare', CHAT],
  ])('%s: the plan that dispatch follows, and nothing is sent', async (_, body) => {
    const world = newWorld({ lookup, serve: { 'eu-central-1': status(500) } })
    const explained = await world.ask({ path: '/v1/route/explain', body })
    expect(world.arrivals).toEqual([])
    const explanation = JSON.parse(explained.text) as RouteExplanation
    expect(explanation).toMatchObject({
      tenant: 'demo',
      edgeRegion: 'us-east',
      knowledge: 'directory',
      reason: 'least-wait',
    })
    expect(explanation.rejected).toEqual([{ cluster: 'ap-northeast-1', reason: 'draining' }])
    await world.ask()
    expect(order(world)).toEqual(explanation.plan.map(({ cluster }) => cluster))
    const { terms } = explanation.plan[0]!
    const { totalMs, ...parts } = terms
    expect(Object.values(parts).reduce((sum, ms) => sum + ms, 0)).toBeCloseTo(totalMs)
  })

  test('completions too', async () => {
    const world = newWorld()
    const request = { model: MODEL, prompt: 'Once upon a time' }
    const bare = JSON.parse(
      (await world.ask({ path: '/v1/route/explain', body: request })).text,
    ) as RouteExplanation
    const wrapped = await world.ask({ path: '/v1/route/explain', body: { path: '/v1/completions', request } })
    expect(JSON.parse(wrapped.text)).toMatchObject({ promptBytes: bare.promptBytes, markers: bare.markers })
  })
})

describe('bookings', () => {
  test('a burst of one new prompt goes together, others go round', async () => {
    const world = newWorld({
      lookup: knownEverywhere({ 'ap-northeast-1': { cluster: 'ap-northeast-1', state: 'unknown' } }),
    })
    const long = (seed: string) => ({
      ...CHAT,
      messages: [{ role: 'user', content: `${seed} `.repeat(4000) }],
    })
    const burst = await Promise.all([1, 2, 3].map(() => world.ask({ body: long('same') })))
    expect(new Set(burst.map(({ receipt }) => receipt?.cluster)).size).toBe(1)
    const others = await Promise.all(['a', 'b', 'c', 'd'].map((seed) => world.ask({ body: long(seed) })))
    expect(new Set(others.map(({ receipt }) => receipt?.cluster)).size).toBeGreaterThan(1)
  })
})

describe('routing by the caller', () => {
  const headers = { 'x-isotherm-routing': 'sticky' }
  const conversation = (key: string) => ({ ...CHAT, prompt_cache_key: key })

  test('is a right of the policy', async () => {
    const without = await newWorld().ask({ headers })
    expect(without.receipt?.reason).toBe('nearest')
    const world = newWorld({ policy: { routingOverride: true } })
    expect((await world.ask({ headers })).receipt?.reason).toBe('override-sticky')
    expect((await world.ask({ headers: { 'x-isotherm-routing': 'nonsense' } })).receipt?.reason).toBe(
      'nearest',
    )
  })

  test('sticky follows the key of the conversation, else its first message', async () => {
    const world = newWorld({ policy: { routingOverride: true } })
    const homeOf = async (body: object) => (await world.ask({ headers, body })).receipt?.cluster
    const homes = new Set<string | undefined>()
    for (let i = 0; i < 12; i++) {
      const home = await homeOf(conversation(`c${i}`))
      expect(await homeOf({ ...conversation(`c${i}`), messages: [{ role: 'user', content: 'other' }] })).toBe(
        home,
      )
      homes.add(home)
    }
    expect(homes.size).toBe(3)
    const turns = [
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'a' },
    ]
    const first = await homeOf({ ...CHAT, messages: turns })
    expect(await homeOf({ ...CHAT, messages: [...turns, { role: 'assistant', content: 'b' }] })).toBe(first)
  })
})

test('completions travel their own path', async () => {
  const world = newWorld({
    serve: {
      'us-east-1': (arrival) => (arrival.path === '/v1/completions' ? completion(arrival) : stream()),
    },
  })
  const answer = await world.ask({ path: '/v1/completions', body: { model: MODEL, prompt: 'hi' } })
  expect(answer.status).toBe(200)
  expect(openEnvelope(world.arrivals[0]!).markers).not.toBe('')
})
