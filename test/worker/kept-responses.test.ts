import { Buffer } from 'node:buffer'
import { createHash, createHmac } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { ENVELOPE_CONTEXT } from '../../protocol/envelope.ts'
import { keptEnvelopeSchema } from '../../protocol/kept-response.ts'
import { ResponseIds } from '../../worker/response-ids.ts'
import {
  CLUSTERS,
  newWorld,
  silence,
  status,
  stream,
  type Arrival,
  type Asked,
  type WorldOptions,
} from './edge-world.ts'

afterEach(() => {
  vi.unstubAllGlobals()
})

const ids = new ResponseIds('prefix-secret-of-tests')
const kept = (cluster = 'eu-central-1') => ids.issue('demo', cluster)
const get = (id: string, query = ''): Asked => ({ method: 'GET', path: `/v1/responses/${id}${query}` })
const cancel = (id: string, body: string | object = ''): Asked => ({
  path: `/v1/responses/${id}/cancel`,
  body,
})
const remove = (id: string): Asked => ({ method: 'DELETE', path: `/v1/responses/${id}` })

const found = ({ path }: Arrival) => Response.json({ object: 'response', path })
const everywhere = (serve: (arrival: Arrival) => Response | Promise<Response>): WorldOptions => ({
  serve: Object.fromEntries(CLUSTERS.map((cluster) => [cluster, serve])),
})

async function errorOf(asking: ReturnType<ReturnType<typeof newWorld>['ask']>) {
  const { status: code, text } = await asking
  return [code, (JSON.parse(text) as { error: unknown }).error] as const
}

describe('what is asked', () => {
  test.each([
    ['read', get, 'GET', ''],
    ['cancelled', cancel, 'POST', '/cancel'],
  ])(
    'a response is %s at the cluster that keeps it, in a signed envelope',
    async (_, asked, method, tail) => {
      const id = kept()
      const world = newWorld(everywhere(found))
      const answer = await world.ask({ ...asked(id), headers: { 'x-request-id': 'mine' } })
      const [arrival, ...others] = world.arrivals
      expect(others).toEqual([])
      const path = `/v1/responses/${id}${tail}`
      expect(arrival).toMatchObject({ cluster: 'eu-central-1', method, path, body: null })
      expect([answer.status, JSON.parse(answer.text)]).toEqual([200, { object: 'response', path }])
      expect(answer.receipt).toMatchObject({
        cluster: 'eu-central-1',
        region: 'eu-central',
        attempt: 1,
        reason: 'kept',
      })
      expect(answer.headers.get('x-request-id')).toMatch(/^mine-[0-9a-f]{12}$/)

      const [encoded = '', mac] = (arrival?.headers.get('x-isotherm-envelope') ?? '').split('.')
      const digest = createHash('sha256').update('').digest('hex')
      const signed = `${ENVELOPE_CONTEXT}\n${method}\n${path}\n${digest}\n${encoded}\n`
      expect(mac).toBe(createHmac('sha256', 'envelope-secret-of-tests').update(signed).digest('base64url'))
      const envelope: unknown = JSON.parse(Buffer.from(encoded, 'base64url').toString())
      expect(keptEnvelopeSchema.parse(envelope)).toMatchObject({
        tenant: 'demo',
        cluster: 'eu-central-1',
        stream: false,
        startingAfter: null,
      })
      expect([...(arrival?.headers.keys() ?? [])].sort()).toEqual(['x-isotherm-envelope', 'x-request-id'])
    },
  )

  test('events are asked for in the envelope, not in the query, and come as they are', async () => {
    const events = 'event: response.created\ndata: {"type":"response.created"}\n\n'
    const world = newWorld(everywhere(() => stream(events)))
    const id = kept()
    const answer = await world.ask(get(id, '?stream=true&starting_after=7&include[]=x'))
    expect([answer.status, answer.text, answer.headers.get('content-type')]).toEqual([
      200,
      events,
      'text/event-stream; charset=utf-8',
    ])
    expect(world.arrivals[0]?.path).toBe(`/v1/responses/${id}`)
    const [encoded = ''] = (world.arrivals[0]?.headers.get('x-isotherm-envelope') ?? '').split('.')
    expect(JSON.parse(Buffer.from(encoded, 'base64url').toString())).toMatchObject({
      stream: true,
      startingAfter: 7,
    })
  })

  test.each([
    '?stream=maybe',
    '?starting_after=x',
    '?starting_after=-1',
    `?starting_after=${'9'.repeat(99)}`,
  ])('the query %s is refused', async (query) => {
    const world = newWorld(everywhere(found))
    expect(await errorOf(world.ask(get(kept(), query)))).toMatchObject([
      400,
      { type: 'invalid_request_error', param: query.slice(1).split('=')[0] },
    ])
    expect(world.arrivals).toEqual([])
  })

  test('a body of a cancellation is bounded and goes nowhere', async () => {
    const world = newWorld(everywhere(found))
    expect((await world.ask(cancel(kept(), {}))).status).toBe(200)
    expect(world.arrivals[0]?.body).toBeNull()
    expect((await world.ask(cancel(kept(), 'x'.repeat(70_000)))).status).toBe(413)
    expect(world.arrivals).toHaveLength(1)
  })

  test('they count in no limit, and a cancellation leaves a note', async () => {
    const world = newWorld({ ...everywhere(found), policy: { requestsPerMinute: 1 } })
    for (let i = 0; i < 3; i++) expect((await world.ask(get(kept()))).status).toBe(200)
    const { headers, status: code } = await world.ask(cancel(kept()))
    expect(code).toBe(200)
    const receipt = await world.ask({ method: 'GET', path: `/v1/receipts/${headers.get('x-request-id')}` })
    expect(JSON.parse(receipt.text)).toMatchObject({
      edge: { api: 'responses/cancel', reason: 'kept', status: 200, attempts: [{ cluster: 'eu-central-1' }] },
    })
  })
})

describe('who may ask', () => {
  const NOT_FOUND = { code: 'response_not_found', type: 'invalid_request_error', param: 'response_id' }

  test('nobody without a key', async () => {
    const world = newWorld(everywhere(found))
    for (const asked of [get(kept()), cancel(kept()), remove(kept())])
      expect((await world.ask({ ...asked, key: null })).status).toBe(401)
    expect(world.arrivals).toEqual([])
  })

  test('no id but the tenant’s own reaches a cluster, and every other is answered alike', async () => {
    const world = newWorld(everywhere(found))
    const own = kept()
    const replaced = fc
      .tuple(fc.nat(own.length - 1), fc.constantFrom(...'abcXYZ019-_.'))
      .map(([at, letter]) => own.slice(0, at) + letter + own.slice(at + 1))
    const forged = fc.oneof(
      replaced,
      fc.nat(own.length - 1).map((end) => own.slice(0, end)),
      fc.string({ minLength: 1, maxLength: 300 }),
      fc.constantFrom(...CLUSTERS).map((cluster) => ids.issue('other', cluster)),
      fc.constantFrom(...CLUSTERS).map((cluster) => new ResponseIds('another-secret').issue('demo', cluster)),
      fc.constantFrom(...CLUSTERS).map((cluster) => own.replace('eu-central-1', cluster)),
      fc.constantFrom('resp_0123456789abcdef', `resp_${'a'.repeat(5000)}`, '..', '%00', `${own}%2fcancel`),
    )
    await fc.assert(
      fc.asyncProperty(forged, fc.constantFrom(get, cancel, remove), async (id, asked) => {
        fc.pre(id !== own)
        const path = encodeURIComponent(id).replaceAll('%25', '%')
        const { status: code, text } = await world.ask(asked(path))
        expect(world.arrivals).toEqual([])
        expect(code).toBe(404)
        const { error } = JSON.parse(text) as { error: { code: string; message: string } }
        // A path that holds no id is a path of nothing.
        if (error.code !== 'not_found')
          expect(error).toEqual({ ...NOT_FOUND, message: 'No response with that id was found.' })
      }),
      { numRuns: 300 },
    )
  })

  test.each([
    ['region', { policy: { regions: ['us-east'] } }],
    ['residency', { policy: { residency: ['eu'] } }],
  ])('policy goes before a kept response: %s', async (_, options) => {
    for (const asked of [get, cancel]) {
      const world = newWorld({ ...everywhere(found), ...options })
      expect(await errorOf(world.ask(asked(kept())))).toMatchObject([503, { code: 'response_unreachable' }])
      expect(world.arrivals).toEqual([])
    }
  })

  test('an id of a cluster that is gone from the configuration is unreachable', async () => {
    const world = newWorld(everywhere(found))
    const asked = world.ask(get(kept('long-gone-1')))
    expect(await errorOf(asked)).toMatchObject([503, { code: 'response_unreachable' }])
    expect(world.arrivals).toEqual([])
  })
})

describe('what comes of it', () => {
  test('a deletion is refused with what there is instead', async () => {
    const world = newWorld(everywhere(found))
    const answer = await world.ask(remove(kept()))
    expect([answer.status, answer.headers.get('allow'), JSON.parse(answer.text)]).toMatchObject([
      405,
      'GET',
      { error: { code: 'method_not_allowed', message: expect.stringContaining('store: false') } },
    ])
    expect(world.arrivals).toEqual([])
  })

  test.each([
    ['404', 404],
    ['400', 400],
  ])('the cluster’s %s is the answer', async (_, code) => {
    const world = newWorld(everywhere(status(code)))
    expect(await errorOf(world.ask(cancel(kept())))).toMatchObject([code, { message: `status ${code}` }])
    expect(world.arrivals).toHaveLength(1)
  })

  test.each([
    ['does not answer', silence],
    ['breaks off', () => Promise.reject(new Error('reset'))],
    ['fails', status(503)],
    ['refuses the envelope', status(403)],
  ])(
    'reading is tried twice where the cluster %s, cancelling once, and never elsewhere',
    async (_, serve) => {
      for (const [asked, attempts] of [
        [get, 2],
        [cancel, 1],
      ] as const) {
        const config = { stallFloorMs: 30 }
        const world = newWorld({ ...everywhere(serve), config, policy: { deadlineMs: 300 } })
        const [code, error] = await errorOf(world.ask(asked(kept())))
        expect([
          [503, 'response_unreachable'],
          [504, 'deadline_exceeded'],
        ]).toContainEqual([code, (error as { code: string }).code])
        expect(world.arrivals.map(({ cluster }) => cluster)).toEqual(Array(attempts).fill('eu-central-1'))
      }
    },
  )

  test('a second reading may be the answer', async () => {
    let calls = 0
    const world = newWorld(everywhere((arrival) => (calls++ === 0 ? status(500)(arrival) : found(arrival))))
    expect(await world.ask(get(kept()))).toMatchObject({ status: 200, receipt: { attempt: 2 } })
  })

  test('a cluster without room says when to come again', async () => {
    const world = newWorld(everywhere(status(429, { 'retry-after': '3' })))
    const answer = await world.ask(cancel(kept()))
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '3'])
  })

  test('a client that leaves ends the call for its events', async () => {
    const world = newWorld(everywhere(silence))
    const response = await world.fetch(get(kept(), '?stream=true'))
    const reader = response.body!.getReader()
    await reader.read()
    await reader.cancel()
    await vi.waitFor(() => expect(world.arrivals[0]?.signal.aborted).toBe(true), {
      timeout: 5000,
      interval: 20,
    })
  })

  test('other methods are told which there are', async () => {
    const world = newWorld(everywhere(found))
    const put = await world.ask({ method: 'PUT', path: `/v1/responses/${kept()}` })
    expect([put.status, put.headers.get('allow')]).toEqual([405, 'GET'])
    const read = await world.ask({ method: 'GET', path: `/v1/responses/${kept()}/cancel` })
    expect([read.status, read.headers.get('allow')]).toEqual([405, 'POST'])
  })
})
