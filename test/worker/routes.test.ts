import { afterEach, describe, expect, test, vi } from 'vitest'
import { MODEL } from '../directory/fake-agent.ts'
import { CHAT, CLUSTERS, KEY, newWorld } from './edge-world.ts'
import { known } from './plan/candidates.ts'

/** What the edge answers by itself: refusals, bad input, lists. Nothing of it reaches a cluster. */
afterEach(() => {
  vi.unstubAllGlobals()
})

function errorOf(text: string): { type: string; code: string; param: string | null; message: string } {
  return (
    JSON.parse(text) as { error: { type: string; code: string; param: string | null; message: string } }
  ).error
}

describe('refusals', () => {
  test.each([
    ['no key', { key: null }, 401, 'missing_api_key'],
    ['a wrong key', { key: 'wrong' }, 401, 'invalid_api_key'],
    ['no bearer', { key: null, headers: { authorization: 'Basic x' } }, 401, 'missing_api_key'],
    ['an endless key', { key: 'x'.repeat(5000) }, 401, 'missing_api_key'],
    ['an unknown path', { path: '/v1/nothing' }, 404, 'not_found'],
    ['a wrong method', { method: 'GET' }, 405, 'method_not_allowed'],
    ['a wrong method on a list', { path: '/v1/models', method: 'DELETE' }, 405, 'method_not_allowed'],
    ['bad JSON', { body: '{"model": ' }, 400, 'invalid_json'],
    ['JSON that is no object', { body: '[1]' }, 400, 'invalid_json'],
    ['bytes that are no text', { body: Uint8Array.from([0x7b, 0xff, 0x7d]) }, 400, 'invalid_json'],
    ['an empty body', { body: '' }, 400, 'invalid_json'],
    ['no model', { body: { messages: [] } }, 400, 'invalid_request'],
    ['a model that is no name', { body: { ...CHAT, model: 7 } }, 400, 'invalid_request'],
    ['no messages', { body: { model: MODEL } }, 400, 'invalid_request'],
    ['a stream that is no boolean', { body: { ...CHAT, stream: 'yes' } }, 400, 'invalid_request'],
    ['no prompt', { path: '/v1/completions', body: { model: MODEL } }, 400, 'invalid_request'],
    [
      'an unknown path to explain',
      { path: '/v1/route/explain', body: { path: '/x', request: CHAT } },
      400,
      'invalid_request',
    ],
  ])('%s', async (_, asked, status, code) => {
    const { ask, arrivals } = newWorld()
    const answer = await ask(asked)
    expect([answer.status, errorOf(answer.text).code]).toEqual([status, code])
    expect(Object.keys(errorOf(answer.text)).sort()).toEqual(['code', 'message', 'param', 'type'])
    expect(answer.headers.get('x-request-id')).toMatch(/^[\w-]+$/)
    expect(arrivals).toEqual([])
  })

  test('405 says what is allowed, 401 how to authenticate', async () => {
    const { ask } = newWorld()
    expect((await ask({ method: 'PUT' })).headers.get('allow')).toBe('POST')
    expect((await ask({ key: null })).headers.get('www-authenticate')).toBe('Bearer')
  })

  test('a model that the policy does not name, and one that no cluster serves', async () => {
    const forbidden = newWorld({ policy: { models: ['another'] } })
    const refused = await forbidden.ask()
    expect([refused.status, errorOf(refused.text)]).toMatchObject([
      404,
      { code: 'model_not_found', param: 'model' },
    ])
    expect(forbidden.lookups).toEqual([])
    const nowhere = newWorld({
      lookup: async () => CLUSTERS.map((cluster) => known(cluster, { offer: null })),
    })
    expect(errorOf((await nowhere.ask()).text).code).toBe('model_not_found')
  })

  test('no region that the policy allows has a cluster', async () => {
    const answer = await newWorld({ policy: { regions: ['mars'] } }).ask()
    expect([answer.status, errorOf(answer.text).code]).toEqual([503, 'no_cluster'])
  })
})

describe('a body beyond its bound is 413', () => {
  const big = JSON.stringify({ ...CHAT, pad: 'x'.repeat(5000) })
  const policy = { promptBytesMax: 4000 }

  test.each([
    ['by its length', big, {}],
    ['in chunks', new Blob([big]).stream(), {}],
    ['with a length that lies', new Blob([big]).stream(), { 'content-length': '10' }],
  ])('%s', async (_, body, headers) => {
    const { ask, arrivals } = newWorld({ policy })
    const answer = await ask({ body, headers })
    expect([answer.status, errorOf(answer.text).code]).toEqual([413, 'body_too_large'])
    expect(arrivals).toEqual([])
  })

  test('its length is believed before its bytes are read', async () => {
    const endless = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => undefined) })
    const answer = await newWorld({ policy }).ask({ body: endless, headers: { 'content-length': '5000' } })
    expect(answer.status).toBe(413)
  })

  test('within it the body passes whole', async () => {
    const { ask, arrivals } = newWorld({ policy })
    expect((await ask()).status).toBe(200)
    expect(new TextDecoder().decode(arrivals[0]?.body)).toBe(JSON.stringify(CHAT))
  })
})

describe('lists and health', () => {
  test('models are those of the policy and of its regions', async () => {
    const all = await newWorld().ask({ path: '/v1/models', method: 'GET' })
    const ids = (text: string) => (JSON.parse(text) as { data: { id: string }[] }).data.map(({ id }) => id)
    expect(JSON.parse(all.text)).toMatchObject({ object: 'list' })
    expect(ids(all.text)).toEqual(
      ['only-ap-northeast-1', 'only-eu-central-1', 'only-us-east-1', MODEL].sort(),
    )
    const some = newWorld({ policy: { regions: ['eu-central'], models: [MODEL, 'only-us-east-1'] } })
    expect(ids((await some.ask({ path: '/v1/models', method: 'GET' })).text)).toEqual([MODEL])
    const one = await some.ask({ path: `/v1/models/${MODEL}`, method: 'GET' })
    expect(JSON.parse(one.text)).toEqual({
      id: MODEL,
      object: 'model',
      created: 0,
      owned_by: 'isotherm',
      max_model_len: 8192,
    })
    expect((await some.ask({ path: '/v1/models/only-us-east-1', method: 'GET' })).status).toBe(404)
  })

  test('health needs no key, inspection needs the operator', async () => {
    const { ask } = newWorld()
    expect((await ask({ path: '/healthz', method: 'GET', key: null })).status).toBe(200)
    const path = '/admin/directory/us-east'
    const admin = (key: string | null, at = path) => ask({ path: at, method: 'GET', key })
    expect((await admin('admin-token-of-tests')).status).toBe(200)
    expect((await admin(KEY)).status).toBe(403)
    expect((await admin(null)).status).toBe(401)
    expect((await admin('admin-token-of-tests', '/admin/directory/nowhere')).status).toBe(404)
    expect(JSON.parse((await admin('admin-token-of-tests', '/admin/counters')).text)).toMatchObject({
      requests: 0,
    })
  })

  test('a request id that is one is kept, another is replaced', async () => {
    const { ask } = newWorld()
    const kept = await ask({ headers: { 'x-request-id': 'my-id_7' } })
    expect(kept.headers.get('x-request-id')).toMatch(/^my-id_7-[0-9a-f]{12}$/)
    const replaced = await ask({ headers: { 'x-request-id': 'a b' } })
    expect(replaced.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
  })
})

describe('requests a minute', () => {
  test('the ledger refuses beyond the limit, with the headers by which clients pace themselves', async () => {
    const { ask, arrivals } = newWorld({ policy: { requestsPerMinute: 2 } })
    const first = await ask()
    expect(first.status).toBe(200)
    expect(first.headers.get('x-ratelimit-limit-requests')).toBe('2')
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('1')
    await ask()
    const refused = await ask()
    expect([refused.status, errorOf(refused.text)]).toMatchObject([
      429,
      { code: 'rate_limit_exceeded', type: 'rate_limit_error' },
    ])
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(refused.headers.get('x-ratelimit-remaining-requests')).toBe('0')
    expect(arrivals).toHaveLength(2)
  })

  test.each([
    ['throws', () => Promise.reject(new Error('gone'))],
    ['hangs', () => new Promise(() => undefined)],
  ])('a ledger that %s lets requests pass, and is counted', async (_, lease) => {
    const ledger = {
      idFromName: (name: string) => name,
      get: () => ({ lease, report: lease }),
    } as unknown as DurableObjectNamespace
    const { ask } = newWorld({ policy: { requestsPerMinute: 1 }, ledger })
    expect((await ask()).status).toBe(200)
    const counters = await ask({ path: '/admin/counters', method: 'GET', key: 'admin-token-of-tests' })
    expect(JSON.parse(counters.text)).toMatchObject({ requests: 1, ledgerFailures: 1 })
  })
})
