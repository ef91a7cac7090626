import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { OutcomeSink } from '../../protocol/outcome.ts'
import { outcome } from '../tenancy/ledger-world.ts'
import {
  CHAT,
  CLUSTERS,
  knownEverywhere,
  newWorld,
  status,
  stream,
  type Asked,
  type World,
} from './edge-world.ts'
import { known } from './plan/candidates.ts'

/** Limits, usage, receipts and metrics through the whole Worker, with real ledgers and receipts. */
const OPERATOR = 'admin-token-of-tests'
const PRICES = { '*': { uncachedUsd: 1, cachedUsd: 0.1, outputUsd: 2 } }
/** What CHAT sets aside at most: its bytes, the template's tokens and four of an answer. */
const CHAT_USD_MAX = 0.003

/** A machine that does other things too may be slow. */
const PATIENCE = { timeout: 20_000 }
vi.setConfig({ testTimeout: 30_000 })

afterEach(() => {
  vi.unstubAllGlobals()
})

let names = 0
/** Each test has a tenant of its own: ledgers outlive a test. */
function newTenant(policy: object): World & { tenant: string } {
  const tenant = `accounted-${names++}`
  return { ...newWorld({ tenant, policy }), tenant }
}

function bodyOf(text: string): Record<string, unknown> & { error?: { code: string; type: string } } {
  return JSON.parse(text) as Record<string, unknown> & { error?: { code: string; type: string } }
}

async function tell(world: { tenant: string }, requestId: string, change: object = {}): Promise<void> {
  const ledger = env.TENANT_LEDGER.get(env.TENANT_LEDGER.idFromName(world.tenant)) as unknown as OutcomeSink
  const usage = {
    promptTokens: 400,
    cachedTokens: 300,
    outputTokens: 4,
    ttftMs: 70,
    predictedTtftMs: 60,
    matchedTokens: 320,
  }
  await ledger.takeOutcomes([
    outcome(requestId, { tenant: world.tenant, model: CHAT.model, endedMs: Date.now(), ...usage, ...change }),
  ])
}

async function askAndTell(world: World & { tenant: string }, asked: Asked = {}): Promise<string> {
  const answer = await world.ask(asked)
  expect(answer.status).toBe(200)
  const requestId = answer.headers.get('x-request-id')!
  await tell(world, requestId, asked.colo === 'FRA' ? { edgeRegion: 'eu-central' } : {})
  return requestId
}

async function get(world: World, path: string, key?: string): Promise<Record<string, unknown>> {
  const { text } = await world.ask({ method: 'GET', path, ...(key ? { key } : {}) })
  return bodyOf(text)
}

describe('limits', () => {
  test('tokens a minute, with the headers by which clients pace themselves', async () => {
    const world = newTenant({ tokensPerMinute: 900 })
    const first = await world.ask()
    expect(first.headers.get('x-ratelimit-limit-tokens')).toBe('900')
    expect(Number(first.headers.get('x-ratelimit-remaining-tokens'))).toBeLessThan(900)
    expect(first.headers.get('x-ratelimit-reset-tokens')).toMatch(/^\d+\.\d{3}s$/)
    let refused = first
    for (let i = 0; refused.status === 200 && i < 10; i++) refused = await world.ask()
    expect([refused.status, bodyOf(refused.text).error]).toMatchObject([429, { code: 'rate_limit_exceeded' }])
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(refused.headers.get('x-ratelimit-remaining-tokens')).toMatch(/^\d+$/)
    expect(world.arrivals.length).toBeLessThan(10)
  })

  test('requests under way at once; one that ends makes room', async () => {
    let finish: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      finish = resolve
    })
    const world = newWorld({
      tenant: `accounted-${names++}`,
      policy: { concurrentMax: 1 },
      serve: { 'us-east-1': () => held.then(() => Response.json({})) },
    })
    const first = world.ask()
    await vi.waitUntil(() => world.arrivals.length === 1, PATIENCE)
    const refused = await world.ask()
    expect([refused.status, bodyOf(refused.text).error?.code]).toEqual([429, 'rate_limit_exceeded'])
    finish()
    expect((await first).status).toBe(200)
    expect((await world.ask()).status).toBe(200)
  })

  test('a stream holds its place until it ends', async () => {
    let end: () => void = () => undefined
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('data: {}\n\n'))
        end = () => controller.close()
      },
    })
    const world = newWorld({
      tenant: `accounted-${names++}`,
      policy: { concurrentMax: 1 },
      serve: { 'us-east-1': () => new Response(body, { headers: { 'content-type': 'text/event-stream' } }) },
    })
    const streaming = await world.fetch({ body: { ...CHAT, stream: true } })
    expect((await world.ask()).status).toBe(429)
    end()
    await streaming.text()
    // The refusal is repeated for a moment without asking.
    await vi.waitUntil(
      async () => (await world.ask({ body: { ...CHAT, stream: false } })).status === 200,
      PATIENCE,
    )
  })

  test('a budget that is spent is no rate: clients do not retry it', async () => {
    const world = newTenant({ prices: PRICES, budget: { usd: CHAT_USD_MAX, period: 'month' } })
    expect((await world.ask()).status).toBe(200)
    const refused = await world.ask()
    expect([refused.status, bodyOf(refused.text).error]).toMatchObject([
      429,
      { code: 'insufficient_quota', type: 'insufficient_quota' },
    ])
    expect(refused.headers.get('x-should-retry')).toBe('false')
    expect(world.arrivals).toHaveLength(1)
  })

  test('what no cluster took is not paid', async () => {
    const serve = Object.fromEntries(CLUSTERS.map((cluster) => [cluster, status(503)]))
    const world = newWorld({
      tenant: `accounted-${names++}`,
      policy: { prices: PRICES, budget: { usd: CHAT_USD_MAX, period: 'month' } },
      serve,
    })
    expect((await world.ask()).status).toBe(503)
    await get(world, '/v1/usage')
    expect(await get(world, '/v1/usage')).toMatchObject({
      requestsUnderWay: 0,
      budget: { spentUsd: 0, heldUsd: 0 },
    })
  })

  test.each([
    ['open', 200],
    ['closed', 503],
  ])('without its ledger a tenant whose policy says %s gets %i', async (onOutage, code) => {
    const ledger = {
      idFromName: (name: string) => name,
      get: () => ({ lease: () => Promise.reject(new Error('gone')), report: async () => undefined }),
    } as unknown as DurableObjectNamespace
    const world = newWorld({
      policy: { requestsPerMinute: 2, onOutage: onOutage as 'open' | 'closed' },
      ledger,
    })
    expect((await world.ask()).status).toBe(code)
    expect((await world.ask()).status).toBe(code)
    // Open is not without bound: this isolate counts by itself.
    if (onOutage === 'open') expect((await world.ask()).status).toBe(429)
  })

  test('one id said twice is two requests', async () => {
    const world = newTenant({ prices: PRICES })
    const ids = [
      await askAndTell(world, { headers: { 'x-request-id': 'same' } }),
      await askAndTell(world, { headers: { 'x-request-id': 'same' } }),
    ]
    expect(new Set(ids).size).toBe(2)
    expect((await get(world, '/v1/usage'))['total']).toMatchObject({ requests: 2 })
  })
})

describe('usage', () => {
  test('a tenant sees what its engines counted, at its prices', async () => {
    const world = newTenant({ prices: PRICES, budget: { usd: 1, period: 'day' } })
    await askAndTell(world)
    const today = new Date().toISOString().slice(0, 10)
    const counts = { requests: 1, uncachedTokens: 100, cachedTokens: 300, outputTokens: 4, costUsd: 0.000138 }
    expect(await get(world, '/v1/usage')).toMatchObject({
      object: 'usage',
      to: today,
      data: [{ day: today, model: CHAT.model, ...counts }],
      total: counts,
      budget: { usd: 1, period: 'day', currentPeriod: today, spentUsd: 0.000138, heldUsd: 0 },
    })
    expect((await get(world, '/v1/usage?from=2020-01-01&to=2020-01-31'))['data']).toEqual([])
  })

  test('operators see it too, of any tenant', async () => {
    const world = newTenant({})
    await askAndTell(world)
    const usage = await get(world, `/admin/tenants/${world.tenant}/usage`, OPERATOR)
    expect(usage).toMatchObject({ rows: [{ requests: 1, cachedTokens: 300 }], requestsUnderWay: 0 })
    const path = `/admin/tenants/${world.tenant}/usage?from=never`
    expect((await world.ask({ method: 'GET', path, key: OPERATOR })).status).toBe(400)
  })

  test('a model without a price is counted too', async () => {
    const world = newTenant({})
    await askAndTell(world)
    expect((await get(world, '/v1/usage'))['total']).toMatchObject({
      requests: 1,
      cachedTokens: 300,
      costUsd: 0,
    })
  })

  test.each([
    'from=yesterday',
    'to=2026-13-01',
    'from=2026-02-01&to=2026-01-01',
    'from=2020-01-01&to=2026-01-01',
  ])('%s is refused', async (query) => {
    const { status } = await newTenant({}).ask({ method: 'GET', path: `/v1/usage?${query}` })
    expect(status).toBe(400)
  })
})

describe('receipts', () => {
  test('edge and agent tell one story, and nothing of the prompt', async () => {
    const world = newTenant({})
    // A region where no request of another test awaits its outcome.
    const id = await askAndTell(world, {
      colo: 'FRA',
      body: { ...CHAT, messages: [{ role: 'user', content: 'a private word' }] },
    })
    const receipt = await vi.waitUntil(async () => {
      const found = await get(world, `/v1/receipts/${id}`)
      return Array.isArray(found['outcomes']) && found['outcomes'].length > 0 ? found : null
    }, PATIENCE)
    expect(receipt).toMatchObject({
      edge: {
        requestId: id,
        tenant: world.tenant,
        status: 200,
        reason: 'nearest',
        attempts: [{ attempt: 1, cluster: 'eu-central-1' }],
        candidates: [{ cluster: 'eu-central-1' }, { cluster: 'us-east-1' }, { cluster: 'ap-northeast-1' }],
      },
      outcomes: [{ cachedTokens: 300, matchedTokens: 320, ttftMs: 70 }],
      attributes: { 'gen_ai.usage.cache_read.input_tokens': 300 },
    })
    expect(JSON.stringify(receipt)).not.toContain('private')
    const bulk = await world.ask({
      method: 'GET',
      path: '/admin/receipts?region=eu-central&limit=1000',
      key: OPERATOR,
    })
    const lines = bulk.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { seq: number; edge: { requestId: string } })
    expect(lines.map(({ edge }) => edge?.requestId)).toContain(id)
    expect(bulk.headers.get('x-isotherm-after')).toBe(String(lines.at(-1)!.seq))
    expect(bulk.text).not.toContain('private')
  })

  test("another tenant's receipt is not there, and an id that is none", async () => {
    const [one, other] = [newTenant({}), newTenant({})]
    const id = await askAndTell(one)
    for (const path of [
      `/v1/receipts/${id}`,
      '/v1/receipts/nothing',
      '/v1/receipts/a%20b',
      `/v1/receipts/${'x'.repeat(500)}`,
    ]) {
      expect((await other.ask({ method: 'GET', path })).status).toBe(404)
    }
  })

  test('operators ask for regions and places that exist', async () => {
    const { ask } = newTenant({})
    for (const [query, code] of [
      ['region=mars', 404],
      ['after=-1', 400],
      ['limit=many', 400],
      ['region=eu-central', 200],
    ]) {
      expect((await ask({ method: 'GET', path: `/admin/receipts?${query}`, key: OPERATOR })).status).toBe(
        code,
      )
    }
  })

  test('Prometheus reads the regions, up or down', async () => {
    const world = newTenant({})
    await askAndTell(world)
    const { text, headers } = await world.ask({ method: 'GET', path: '/metrics', key: OPERATOR })
    expect(headers.get('content-type')).toContain('version=0.0.4')
    expect(text).toContain('isotherm_region_up{region="us-east"} 1')
    expect(text).toMatch(/isotherm_requests_total\{region="us-east",status="200",reason="nearest"\} \d+/)
    expect(text).toMatch(
      /isotherm_tokens_total\{region="us-east",cluster="us-east-1",model="[^"]+",kind="cached"\} \d+/,
    )
    expect(text).toMatch(/isotherm_ttft_milliseconds_bucket\{region="us-east",[^}]*le="\+Inf"\} \d+/)
    expect(text).toMatch(/isotherm_edge_events_total\{region="us-east",event="requests"\} \d+/)
    expect(text.endsWith('\n')).toBe(true)
  })
})

describe('what if', () => {
  const warm = knownEverywhere({ 'us-east-1': known('us-east-1', { matchedBytes: 1200, tier: 1 }) })

  async function suppose(
    whatIf: object,
    policy: object = {},
  ): Promise<{ status: number; body: Record<string, unknown> }> {
    const { ask } = newWorld({ policy, lookup: warm })
    const { status, text } = await ask({
      path: '/v1/route/explain',
      body: { request: CHAT, what_if: whatIf },
    })
    return { status, body: bodyOf(text) }
  }

  test('a region were gone, a policy were another: the plan beside the true one', async () => {
    const dead = await suppose({ dead_regions: ['us-east'] })
    expect(dead.body).toMatchObject({
      plan: [{ cluster: 'us-east-1' }, {}, {}],
      whatIf: {
        plan: [{ cluster: 'eu-central-1' }, { cluster: 'ap-northeast-1' }],
        rejected: [{ cluster: 'us-east-1', reason: 'supposed-dead' }],
      },
    })
    const moved = await suppose({ policy: { regions: ['ap-northeast'] } })
    expect(moved.body['whatIf']).toMatchObject({ plan: [{ cluster: 'ap-northeast-1' }] })
    const all = await suppose({ dead_clusters: [...CLUSTERS] })
    expect(all.body['whatIf']).toMatchObject({ plan: [], reason: null })
    const nothing = newWorld()
    const plain = await nothing.ask({ path: '/v1/route/explain', body: CHAT })
    expect(bodyOf(plain.text)['whatIf']).toBeNull()
    expect(nothing.arrivals).toEqual([])
  })

  test.each([
    ['more regions than the policy has', { policy: { regions: ['us-east', 'eu-central'] } }],
    ["another group's cache", { policy: { shareScope: 'group:others' } }],
    ['another model', { policy: { models: ['x'] } }],
    ['no region', { policy: { regions: [] } }],
    ['nonsense', { colour: 1 }],
    ['a list', []],
  ])('%s cannot be supposed', async (_, whatIf) => {
    const { status, body } = await suppose(whatIf, { regions: ['us-east'] })
    expect([status, body.error]).toMatchObject([400, { code: 'invalid_request', param: 'what_if' }])
  })
})

test('a stream and its refusal leave receipts too', async () => {
  const world = newWorld({
    tenant: `accounted-${names++}`,
    serve: {
      'us-east-1': () => stream('data: {}\n\n'),
      'eu-central-1': status(503),
      'ap-northeast-1': status(503),
    },
  })
  const answer = await world.ask({ body: { ...CHAT, stream: true } })
  const receipt = await get(world, `/v1/receipts/${answer.headers.get('x-request-id')}`)
  expect(receipt).toMatchObject({ edge: { stream: true, status: 200 } })
})
