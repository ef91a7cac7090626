import { Buffer } from 'node:buffer'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { APIS } from '../../protocol/apis.ts'
import { ResponseIds } from '../../worker/response-ids.ts'
import { MODEL } from '../directory/fake-agent.ts'
import { CHAT, completion, KEY, newWorld, silence, status, stream, type Arrival } from './edge-world.ts'

afterEach(() => {
  vi.unstubAllGlobals()
})

const user = { role: 'user', content: 'hello' }
/** A request of every API. */
const BODIES: Readonly<Record<string, object>> = {
  '/v1/chat/completions': { model: MODEL, messages: [user] },
  '/v1/completions': { model: MODEL, prompt: 'hello' },
  '/v1/responses': { model: MODEL, input: 'hello', max_output_tokens: 7 },
  '/v1/messages': { model: MODEL, max_tokens: 7, messages: [user] },
  '/v1/messages/count_tokens': { model: MODEL, messages: [user] },
  '/v1/embeddings': { model: MODEL, input: ['hello', 'you'] },
}
const PATHS = [...APIS.keys()]

interface Sealed {
  readonly stream: boolean
  readonly outputTokensMax: number | null
  readonly responseId: string | null
}

function envelopeOf({ headers }: Arrival): Sealed {
  const [encoded = ''] = (headers.get('x-isotherm-envelope') ?? '').split('.')
  return JSON.parse(Buffer.from(encoded, 'base64url').toString()) as Sealed
}

test('every API of the table has a request here', () => {
  expect(Object.keys(BODIES).sort()).toEqual([...PATHS].sort())
})

describe.each(PATHS)('%s', (path) => {
  const body = BODIES[path]!
  const isAnthropic = APIS.get(path)?.dialect === 'anthropic'

  test('its body reaches the same path of the cluster byte for byte', async () => {
    const world = newWorld()
    const text = JSON.stringify({ ...body, top_k: 3, tools: [], vllm_xargs: { a: 1 } }, null, 1)
    const answer = await world.ask({ path, body: text })
    expect([answer.status, answer.receipt?.cluster]).toEqual([200, 'us-east-1'])
    expect(world.arrivals[0]?.path).toBe(path)
    expect(new TextDecoder().decode(world.arrivals[0]?.body)).toBe(text)
  })

  test.each([
    ['no key', { key: null }, 401, 'authentication_error'],
    ['no JSON', { body: '{' }, 400, 'invalid_request_error'],
    ['no prompt', { body: { model: MODEL } }, 400, 'invalid_request_error'],
    ['another method', { method: 'PUT' }, 405, 'invalid_request_error'],
  ])('%s is refused in its dialect', async (_, asked, code, type) => {
    const answer = await newWorld().ask({ path, body, ...asked })
    const json = JSON.parse(answer.text) as { type?: string; error: { type: string } }
    expect([answer.status, json.error.type]).toEqual([code, type])
    expect(json.type).toBe(isAnthropic ? 'error' : undefined)
    expect(answer.headers.get(isAnthropic ? 'request-id' : 'x-request-id')).toMatch(/^[\w-]+$/)
  })
})

describe('images', () => {
  const data =
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
  const url = `data:image/png;base64,${data}`
  const source = { type: 'base64', media_type: 'image/png', data }
  const asked = (path: string, part: object) => ({
    path,
    body: JSON.stringify(
      path === '/v1/responses'
        ? {
            model: MODEL,
            input: [{ role: 'user', content: [part, { type: 'input_text', text: 'What is it?' }] }],
          }
        : {
            model: MODEL,
            max_tokens: 4,
            messages: [{ role: 'user', content: [part, { type: 'text', text: 'What is it?' }] }],
          },
    ),
  })

  test.each([
    ['chat', asked('/v1/chat/completions', { type: 'image_url', image_url: { url, detail: 'low' } })],
    ['responses', asked('/v1/responses', { type: 'input_image', image_url: url, detail: 'low' })],
    ['messages', asked('/v1/messages', { type: 'image', source })],
  ])('%s: they pass untouched, and count in the prompt by what they are', async (_, { path, body }) => {
    const world = newWorld()
    const markers = async (text: string) => {
      const { status } = await world.ask({ path, body: text })
      expect(status).toBe(200)
      return [...(world.lookups.at(-1)?.markers ?? [])]
    }
    const first = await markers(body)
    expect(new TextDecoder().decode(world.arrivals[0]?.body)).toBe(body)
    expect(first.length).toBeGreaterThan(0)
    expect(await markers(body.replace('What is it?', 'What was it?'))).not.toEqual(first)
    expect(await markers(body.replace('iVBORw0KGgo', 'iVBORw0KGgp'))).not.toEqual(first)
  })
})

describe('Messages', () => {
  const path = '/v1/messages'
  const body = BODIES[path]!

  test('the key may come as x-api-key', async () => {
    const ask = (key: string) => newWorld().ask({ path, body, key: null, headers: { 'x-api-key': key } })
    expect((await ask(KEY)).status).toBe(200)
    expect((await ask('wrong')).status).toBe(401)
  })

  test('late streams get pings, and errors as its own events', async () => {
    let release = () => undefined as void
    const released = new Promise<void>((resolve) => (release = resolve))
    const failing = async (arrival: Arrival) => (await released, status(500)(arrival))
    const serve = { 'us-east-1': failing, 'eu-central-1': failing, 'ap-northeast-1': failing }
    const response = await newWorld({ serve }).fetch({ path, body: { ...body, stream: true } })
    const reader = response.body!.getReader()
    const { value } = await reader.read()
    expect(new TextDecoder().decode(value)).toBe('event: ping\ndata: {"type":"ping"}\n\n')
    release()
    let text = ''
    for (let next = await reader.read(); !next.done; next = await reader.read())
      text += new TextDecoder().decode(next.value)
    expect(text).toMatch(/\n\nevent: error\ndata: \{"type":"error","error":\{"type":"api_error"/)
    expect(text).not.toContain('[DONE]')
  })

  test('models are listed in its form for its clients', async () => {
    const headers = { 'anthropic-version': '2023-06-01', 'x-api-key': KEY }
    const answer = await newWorld().ask({ path: '/v1/models', method: 'GET', key: null, headers })
    expect(JSON.parse(answer.text)).toMatchObject({
      data: expect.arrayContaining([
        { type: 'model', id: MODEL, display_name: MODEL, created_at: expect.any(String) },
      ]),
      has_more: false,
    })
  })
})

describe('Responses', () => {
  const path = '/v1/responses'
  const body = BODIES[path]!
  const ids = new ResponseIds('prefix-secret-of-tests')

  test('a kept answer gets an id that leads back to its cluster, also after a failover', async () => {
    const world = newWorld({ serve: { 'us-east-1': status(500) } })
    await world.ask({ path, body })
    const clusters = world.arrivals.map((arrival) =>
      ids.clusterOf('demo', envelopeOf(arrival).responseId ?? ''),
    )
    expect(clusters).toEqual(['us-east-1', 'eu-central-1'])
    expect(envelopeOf(world.arrivals[0]!)).toMatchObject({ outputTokensMax: 7 })
    const unkept = newWorld()
    await unkept.ask({ path, body: { ...body, store: false } })
    expect(envelopeOf(unkept.arrivals[0]!).responseId).toBeNull()
  })

  test('a continuation goes where the response is kept, and nowhere else', async () => {
    const previous_response_id = ids.issue('demo', 'ap-northeast-1')
    const world = newWorld()
    const answer = await world.ask({ path, body: { ...body, previous_response_id } })
    expect(answer.receipt).toMatchObject({ cluster: 'ap-northeast-1' })
    const gone = newWorld({ serve: { 'ap-northeast-1': () => Promise.reject(new Error('gone')) } })
    const failed = await gone.ask({ path, body: { ...body, previous_response_id } })
    expect([failed.status, JSON.parse(failed.text)]).toMatchObject([
      503,
      { error: { code: 'response_unreachable', param: 'previous_response_id' } },
    ])
    expect(gone.arrivals).toHaveLength(1)
  })

  test('policy goes before a kept response', async () => {
    const previous_response_id = ids.issue('demo', 'ap-northeast-1')
    const world = newWorld({ policy: { regions: ['us-east'] } })
    expect((await world.ask({ path, body: { ...body, previous_response_id } })).status).toBe(503)
    expect(world.arrivals).toEqual([])
  })

  const good = ids.issue('demo', 'us-east-1')
  test.each([
    ['of another tenant', ids.issue('other', 'us-east-1')],
    ['with another cluster', good.replace('us-east-1', 'eu-central-1')],
    ['cut', good.slice(0, -1)],
    ['of an engine', 'resp_0123456789abcdef'],
    ['that is none', 7],
    ['endless', `resp_${'a'.repeat(100_000)}`],
  ])('an id %s leads nowhere', async (_, previous_response_id) => {
    const world = newWorld()
    const answer = await world.ask({ path, body: { ...body, previous_response_id } })
    expect([answer.status, JSON.parse(answer.text)]).toMatchObject([
      404,
      { error: { code: 'response_not_found' } },
    ])
    expect(world.arrivals).toEqual([])
  })

  test('work in the background goes on only from a cluster that has done nothing', async () => {
    const background = { path, body: { ...body, background: true } }
    const first = (serve: Parameters<typeof newWorld>[0]) => newWorld(serve)
    const refused = first({ serve: { 'us-east-1': status(503) } })
    expect([(await refused.ask(background)).status, refused.arrivals.length]).toEqual([200, 2])
    for (const serve of [status(500), () => Promise.reject(new Error('reset'))]) {
      const lost = first({ serve: { 'us-east-1': serve } })
      expect([(await lost.ask(background)).status, lost.arrivals.length]).toEqual([502, 1])
    }
  })

  test('a stream that fails ends with the published event, which holds what clients throw on', async () => {
    const encoder = new TextEncoder()
    const broken = () => {
      let chunks = 0
      const events = new ReadableStream<Uint8Array>({
        pull: (controller) => {
          if (chunks++ === 0) controller.enqueue(encoder.encode('event: x\ndata: {"n":1}\n\n'))
          else controller.error(new Error('died'))
        },
      })
      return new Response(events, { headers: { 'content-type': 'text/event-stream' } })
    }
    const world = newWorld({ serve: { 'us-east-1': broken } })
    const { text } = await world.ask({ path, body: { ...body, stream: true } })
    const data = /event: error\ndata: (.*)\n\n$/.exec(text)?.[1] ?? '{}'
    expect(JSON.parse(data)).toMatchObject({
      type: 'error',
      code: 'upstream_failed',
      error: { message: expect.any(String) },
    })
  })
})

test('what gives no tokens is never a stream', async () => {
  const world = newWorld()
  await world.ask({ path: '/v1/embeddings', body: { ...BODIES['/v1/embeddings'], stream: true } })
  expect(envelopeOf(world.arrivals[0]!).stream).toBe(false)
})

describe('before the first event', () => {
  const streamed = { body: { ...CHAT, stream: true } }
  const sse = { headers: { 'content-type': 'text/event-stream' } }

  test.each([
    ['ends', () => new Response(new Blob([]).stream(), sse)],
    [
      'breaks off',
      () =>
        new Response(new ReadableStream({ pull: (controller) => controller.error(new Error('died')) }), sse),
    ],
  ])('a stream that %s is the next cluster’s', async (_, serve) => {
    const world = newWorld({ serve: { 'us-east-1': serve, 'eu-central-1': () => stream('data: 1\n\n') } })
    const answer = await world.ask(streamed)
    expect([answer.status, answer.text, answer.receipt?.attempt]).toEqual([200, 'data: 1\n\n', 2])
  })

  test('headers without an event are silence', async () => {
    const mute = ({ signal }: Arrival) => {
      const body = new ReadableStream({
        start: (controller) => signal.addEventListener('abort', () => controller.error(new Error('aborted'))),
      })
      return new Response(body, sse)
    }
    const config = { stallFloorMs: 40, stallFactor: 1 }
    const serve = { 'us-east-1': mute, 'eu-central-1': () => stream('data: 1\n\n') }
    const world = newWorld({ serve, config })
    expect(await world.ask(streamed)).toMatchObject({ status: 200, text: 'data: 1\n\n' })
    expect(world.arrivals[0]?.signal.aborted).toBe(true)
  })

  test('a whole answer that breaks off is the next cluster’s', async () => {
    const broken = () => {
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode('{"object":')),
        pull: (controller) => controller.error(new Error('died')),
      })
      return new Response(body, { headers: { 'content-type': 'application/json', 'content-length': '500' } })
    }
    const world = newWorld({ serve: { 'us-east-1': broken } })
    expect(await world.ask()).toMatchObject({ status: 200, receipt: { cluster: 'eu-central-1', attempt: 2 } })
  })
})

describe('an answer that comes whole and late', () => {
  const config = { wholeGraceMs: 20 }

  test('is kept alive with spaces, and a lost client frees the cluster', async () => {
    const world = newWorld({ config, serve: { 'us-east-1': silence } })
    const response = await world.fetch()
    const reader = response.body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe(' ')
    await reader.cancel()
    await vi.waitFor(() => expect(world.arrivals[0]?.signal.aborted).toBe(true), {
      timeout: 5000,
      interval: 20,
    })
  })

  test('comes as JSON after them', async () => {
    let release = () => undefined as void
    const released = new Promise<void>((resolve) => (release = resolve))
    const late = async (arrival: Arrival) => (await released, completion(arrival))
    const response = await newWorld({ config, serve: { 'us-east-1': late } }).fetch()
    release()
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(await response.json()).toMatchObject({ object: 'chat.completion', from: 'us-east-1' })
  })

  test('breaks off when it fails, saying why', async () => {
    const config = { wholeGraceMs: 20, stallFloorMs: 1 }
    const world = newWorld({
      config,
      serve: { 'us-east-1': silence },
      policy: { deadlineMs: 300, attemptsMax: 1 },
    })
    const reader = (await world.fetch()).body!.getReader()
    let text = ''
    await expect(async () => {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return
        text += new TextDecoder().decode(value)
      }
    }).rejects.toThrow()
    expect(JSON.parse(text)).toMatchObject({ error: { code: 'deadline_exceeded' } })
  })
})
