import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { KEY_MS_MAX, OUTAGE_MS_MAX } from '../../worker/memory/key-cache.ts'
import { CHAT, newWorld, type Asked, type World } from './edge-world.ts'

/** Tenants of the policy store through the whole Worker: operators change them, keys use them. */
const OPERATOR = 'admin-token-of-tests'
const POLICY = { regions: ['us-east', 'eu-central'] }

/** A machine that does other things too may be slow. */
const PATIENCE = { timeout: 20_000 }
vi.setConfig({ testTimeout: 30_000 })

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

let names = 0
function newName(): string {
  return `tenant-${names++}`
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Record<string, unknown> & { error?: { code: string; message: string } }
}

async function admin(
  world: World,
  method: string,
  path: string,
  body?: object | string,
  ifMatch?: string,
): Promise<Answer> {
  const { status, text, headers } = await world.ask({
    method,
    path: `/admin${path}`,
    key: OPERATOR,
    ...(body === undefined ? {} : { body }),
    ...(ifMatch === undefined ? {} : { headers: { 'if-match': ifMatch } }),
  })
  return { status, headers, body: JSON.parse(text) as Answer['body'] }
}

async function newTenant(
  world: World,
  policy: object = {},
): Promise<{ tenant: string; key: string; keyId: string }> {
  const tenant = newName()
  const created = await admin(world, 'POST', '/tenants', { tenant, policy: { ...POLICY, ...policy } })
  expect(created.status).toBe(201)
  const { body } = await admin(world, 'POST', `/tenants/${tenant}/keys`, { label: 'test' })
  return { tenant, key: String(body['apiKey']), keyId: String(body['keyId']) }
}

async function codeOf(world: World, asked: Asked): Promise<[number, string | undefined]> {
  const { status, text } = await world.ask(asked)
  return [status, (JSON.parse(text) as Answer['body']).error?.code]
}

describe('keys', () => {
  test('a new tenant is served by its policy, and its receipt says which', async () => {
    const world = newWorld()
    const { key, tenant } = await newTenant(world, { regions: ['eu-central'] })
    const { status, receipt, headers } = await world.ask({ key })
    expect([status, receipt?.cluster]).toEqual([200, 'eu-central-1'])
    const found = await world.ask({ key, method: 'GET', path: `/v1/receipts/${headers.get('x-request-id')}` })
    expect(JSON.parse(found.text)).toMatchObject({ edge: { tenant, policyVersion: 1, status: 200 } })
  })

  test('an isolate asks once for many requests', async () => {
    const asked = vi.fn<(name: string) => void>()
    const policyCopy = {
      idFromName: (name: string) => env.POLICY_COPY.idFromName(name),
      get: (id: DurableObjectId) => {
        asked(String(id.name))
        return env.POLICY_COPY.get(id)
      },
    } as unknown as DurableObjectNamespace
    const world = newWorld({ policyCopy })
    const { key } = await newTenant(world)
    const answers = await Promise.all(Array.from({ length: 20 }, () => world.ask({ key })))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    expect(asked).toHaveBeenCalledTimes(1)
    expect(asked.mock.calls[0]?.[0]).toMatch(/^policies-\d\d@us-east$/)
  })

  test('a revoked key works nowhere after ten seconds, also where nobody heard of it', async () => {
    const world = newWorld()
    const { key, tenant, keyId } = await newTenant(world)
    expect((await world.ask({ key })).status).toBe(200)
    // Another isolate changes it, and no directory tells this one.
    expect((await admin(newWorld(), 'DELETE', `/tenants/${tenant}/keys/${keyId}`)).status).toBe(200)
    vi.stubGlobal('fetch', () => Promise.resolve(Response.json({})))
    expect((await world.ask({ key })).status).toBe(200)
    vi.useFakeTimers({ now: Date.now() + 10_000, toFake: ['Date'] })
    expect(await codeOf(world, { key })).toEqual([401, 'invalid_api_key'])
  })

  test('where a directory tells of it, at once', async () => {
    const world = newWorld()
    const { key, tenant, keyId } = await newTenant(world)
    expect((await world.ask({ key })).status).toBe(200)
    await admin(world, 'DELETE', `/tenants/${tenant}/keys/${keyId}`)
    // This request's lookup is the first to hear of the new revision.
    await vi.waitUntil(async () => (await world.ask({ key })).status === 401, PATIENCE)
  })

  test('a key that has ended, and the old key of a rotation after its overlap', async () => {
    const world = newWorld()
    const { key, tenant, keyId } = await newTenant(world)
    const rotated = await admin(world, 'POST', `/tenants/${tenant}/keys/${keyId}/rotate`, {
      overlapMs: 60_000,
    })
    expect(rotated.status).toBe(201)
    const next = String(rotated.body['apiKey'])
    expect([(await world.ask({ key })).status, (await world.ask({ key: next })).status]).toEqual([200, 200])
    vi.useFakeTimers({ now: Date.now() + 61_000, toFake: ['Date'] })
    expect([(await world.ask({ key })).status, (await world.ask({ key: next })).status]).toEqual([401, 200])
  })

  test('a tenant with a deleted policy may do nothing, and a deleted tenant is nobody', async () => {
    const world = newWorld()
    const { key, tenant } = await newTenant(world)
    expect((await admin(world, 'DELETE', `/tenants/${tenant}/policies/1`, undefined, '*')).status).toBe(200)
    expect(await codeOf(world, { key })).toEqual([403, 'forbidden'])
    expect((await admin(world, 'DELETE', `/tenants/${tenant}`, undefined, '*')).status).toBe(200)
    vi.useFakeTimers({ now: Date.now() + 10_000, toFake: ['Date'] })
    expect(await codeOf(world, { key })).toEqual([401, 'invalid_api_key'])
  })
})

describe('a store that does not answer', () => {
  function breakable() {
    let isBroken = false
    const policyCopy = {
      idFromName: (name: string) => env.POLICY_COPY.idFromName(name),
      get: (id: DurableObjectId) =>
        isBroken ? { resolve: () => Promise.reject(new Error('gone')) } : env.POLICY_COPY.get(id),
    } as unknown as DurableObjectNamespace
    return { policyCopy, break: () => (isBroken = true) }
  }

  test('is outlived by tenants that want it, for a bounded time, and by no new key', async () => {
    const store = breakable()
    const world = newWorld({ policyCopy: store.policyCopy })
    const [known, unknown] = [await newTenant(world, { onOutage: 'open' }), await newTenant(world)]
    expect((await world.ask({ key: known.key })).status).toBe(200)
    store.break()
    const brokenMs = Date.now()
    expect(await codeOf(world, { key: unknown.key })).toEqual([503, 'tenancy_unavailable'])
    vi.useFakeTimers({ now: brokenMs + KEY_MS_MAX + 1000, toFake: ['Date'] })
    expect((await world.ask({ key: known.key })).status).toBe(200)
    vi.setSystemTime(brokenMs + OUTAGE_MS_MAX + 2000)
    expect(await codeOf(world, { key: known.key })).toEqual([503, 'tenancy_unavailable'])
  })

  test('closes the door to those that want it closed', async () => {
    const store = breakable()
    const world = newWorld({ policyCopy: store.policyCopy })
    const { key } = await newTenant(world, { onOutage: 'closed' })
    expect((await world.ask({ key })).status).toBe(200)
    store.break()
    vi.useFakeTimers({ now: Date.now() + KEY_MS_MAX + 1000, toFake: ['Date'] })
    expect(await codeOf(world, { key })).toEqual([503, 'tenancy_unavailable'])
    expect(world.arrivals).toHaveLength(1)
  })
})

describe('policies', () => {
  test('a stored version can be supposed, in no place where the live one is not', async () => {
    const world = newWorld()
    const suppose = async (live: object, stored: object) => {
      const { tenant, key } = await newTenant(world, live)
      const policy = { ...POLICY, ...stored }
      const added = await admin(world, 'POST', `/tenants/${tenant}/policies`, { policy })
      expect(added).toMatchObject({ status: 201, body: { version: 2 } })
      const path = '/v1/route/explain'
      const asked = (version: number) => ({
        key,
        path,
        body: { ...CHAT, what_if: { policy_version: version } },
      })
      expect(await codeOf(world, asked(3))).toEqual([400, 'invalid_request'])
      return JSON.parse((await world.ask(asked(2))).text) as Answer['body']
    }
    const clusters = (names: string[]) => names.map((cluster) => expect.objectContaining({ cluster }))
    expect(await suppose({}, { regions: ['eu-central'] })).toMatchObject({
      policyVersion: 1,
      plan: clusters(['us-east-1', 'eu-central-1']),
      whatIf: { plan: clusters(['eu-central-1']) },
    })
    expect(await suppose({ regions: ['us-east'] }, {})).toMatchObject({
      whatIf: { plan: clusters(['us-east-1']) },
    })
    expect(await suppose({}, { models: ['another'] })).toMatchObject({ whatIf: { reason: null, plan: [] } })
    expect(world.arrivals).toEqual([])
  })

  test('a version is validated, compared, tried in the shadow, made live and taken back', async () => {
    const world = newWorld()
    const { key, tenant } = await newTenant(world, { regions: ['us-east'] })
    const at = `/tenants/${tenant}`
    const policy = { regions: ['eu-central'] }
    expect((await admin(world, 'POST', '/policies/validate', policy)).body).toEqual({
      valid: true,
      issues: [],
    })
    const added = await admin(world, 'POST', `${at}/policies`, { policy, note: 'move' })
    expect([added.status, added.body['version']]).toEqual([201, 2])
    expect((await admin(world, 'GET', `${at}/policies/2/diff`)).body).toEqual({
      differences: [{ path: '/regions', before: ['us-east'], after: ['eu-central'] }],
    })

    const shadowed = await admin(
      world,
      'POST',
      `${at}/policies/2/shadow`,
      undefined,
      added.headers.get('etag')!,
    )
    expect(shadowed.status).toBe(200)
    expect((await world.ask({ key })).receipt?.cluster).toBe('us-east-1')
    // The receipt's reader sends what waits.
    await world.ask({ key, method: 'GET', path: '/v1/usage' })
    expect((await admin(world, 'GET', `${at}/policies/2/shadow`)).body).toMatchObject({
      requests: 1,
      same: 0,
      otherCluster: 1,
      samples: [{ live: 'us-east-1', shadow: 'eu-central-1' }],
    })

    const live = await admin(
      world,
      'POST',
      `${at}/policies/2/activate`,
      undefined,
      shadowed.headers.get('etag')!,
    )
    expect(live.body).toMatchObject({ liveVersion: 2, shadowVersion: null, previousVersion: 1 })
    await vi.waitUntil(async () => (await world.ask({ key })).receipt?.cluster === 'eu-central-1', PATIENCE)
    const stale = await admin(world, 'POST', `${at}/rollback`, undefined, shadowed.headers.get('etag')!)
    expect([stale.status, stale.body.error?.code]).toEqual([412, 'precondition_failed'])
    expect((await admin(world, 'POST', `${at}/rollback`)).status).toBe(428)
    expect((await admin(world, 'POST', `${at}/rollback`, undefined, live.headers.get('etag')!)).status).toBe(
      200,
    )
    await vi.waitUntil(async () => (await world.ask({ key })).receipt?.cluster === 'us-east-1', PATIENCE)
    const { body } = await admin(world, 'GET', `${at}/audit?limit=2`)
    expect(body['entries']).toMatchObject([
      { actor: 'operator', action: 'policy.roll-back', detail: 'version 1' },
      { action: 'policy.activate', detail: 'version 2' },
    ])
  })

  test('an alias stands for its model', async () => {
    const world = newWorld()
    const { key } = await newTenant(world, { models: [CHAT.model], aliases: { 'my-model': CHAT.model } })
    expect((await world.ask({ key, body: { ...CHAT, model: 'my-model' } })).status).toBe(200)
    expect(world.lookups.at(-1)?.model).toBe(CHAT.model)
    for (const model of ['another', 'constructor', '__proto__', 'toString']) {
      expect(await codeOf(world, { key, body: { ...CHAT, model } })).toEqual([404, 'model_not_found'])
    }
  })

  test.each([
    ['no region', { regions: [] }, 'regions'],
    ['a region that is none', { regions: ['mars'] }, "There is no region 'mars'"],
    ['a residency that none of its regions has', { residency: ['eu'] }, 'jurisdictions'],
    ['a field that nobody knows', { colour: 1 }, 'colour'],
    ['an alias for a forbidden model', { models: ['a'], aliases: { b: 'c' } }, 'does not allow'],
    ['an alias of an alias', { aliases: { a: 'b', b: 'c' } }, 'another alias'],
    ['a budget without prices', { budget: { usd: 1, period: 'day' } }, 'prices'],
    ['a prototype as an alias', '{"regions":["us-east"],"aliases":{"__proto__":"x"}}', '__proto__'],
    [
      'a constructor as a price',
      { prices: { constructor: { uncachedUsd: 1, cachedUsd: 1, outputUsd: 1 } } },
      'no name',
    ],
  ])('%s is refused with the reason', async (_, change, reason) => {
    const world = newWorld()
    const policy = typeof change === 'string' ? change : JSON.stringify({ ...POLICY, ...change })
    const body = `{"tenant":"${newName()}","policy":${policy}}`
    const { status, body: answer } = await admin(world, 'POST', '/tenants', body)
    expect([status, answer.error?.code]).toEqual([400, 'invalid_request'])
    expect(answer.error?.message).toContain(reason)
    const validated = await admin(world, 'POST', '/policies/validate', policy)
    expect(validated.body['valid'] ?? validated.status === 200).toBe(false)
  })
})

describe('the operators’ API', () => {
  test.each([
    ['no token', null, 401],
    ['a wrong token', 'wrong-token', 403],
    ['a key of a tenant', 'iso-test-key', 403],
  ])('%s opens nothing', async (_, key, status) => {
    const { ask } = newWorld()
    for (const path of [
      '/admin/tenants',
      '/admin/openapi.json',
      '/admin/receipts',
      '/metrics',
      '/admin/counters',
    ]) {
      expect((await ask({ path, key, method: 'GET' })).status).toBe(status)
    }
  })

  test('a document beyond its bound, bad JSON, a tenant twice, a name that is none', async () => {
    const world = newWorld()
    const { tenant } = await newTenant(world)
    const endless = { tenant: newName(), policy: POLICY, note: 'x'.repeat(70_000) }
    const answers = [
      await admin(world, 'POST', '/tenants', endless),
      await admin(world, 'POST', '/tenants', '{"tenant":'),
      await admin(
        world,
        'POST',
        '/policies/validate',
        `{"regions":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
      ),
      await admin(world, 'POST', '/tenants', { tenant, policy: POLICY }),
      await admin(world, 'POST', '/tenants', { tenant: 'demo', policy: POLICY }),
      await admin(world, 'GET', '/tenants/__proto__'),
      await admin(world, 'GET', `/tenants/${newName()}`),
      await admin(world, 'POST', `/tenants/${newName()}/keys`, {}),
      await admin(world, 'GET', `/tenants/${tenant}/policies/99`),
      await admin(world, 'GET', `/tenants/${tenant}/policies/constructor`),
    ]
    expect(answers.map(({ status }) => status)).toEqual([413, 400, 200, 409, 409, 404, 404, 404, 404, 404])
  })

  test('lists every tenant in pages', async () => {
    const world = newWorld()
    const made = [await newTenant(world), await newTenant(world), await newTenant(world)].map(
      ({ tenant }) => tenant,
    )
    const listed: string[] = []
    let after: string | null = '0:'
    while (after !== null) {
      const { body }: Answer = await admin(world, 'GET', `/tenants?limit=2&after=${after}`)
      listed.push(...(body['tenants'] as { tenant: string }[]).map(({ tenant }) => tenant))
      after = body['next'] as string | null
    }
    expect(listed).toEqual(expect.arrayContaining(made))
    expect(new Set(listed).size).toBe(listed.length)
  })

  test('its OpenAPI document describes every route with the schemas of the protocol', async () => {
    const { body } = await admin(newWorld(), 'GET', '/openapi.json')
    const paths = body['paths'] as Record<
      string,
      Record<string, { parameters?: { name: string; required: boolean }[]; requestBody?: unknown }>
    >
    expect(Object.keys(paths)).toContain('/admin/tenants/{tenant}/policies/{version}/activate')
    const activate = paths['/admin/tenants/{tenant}/policies/{version}/activate']?.['post']
    expect(activate?.parameters?.map(({ name }) => name)).toEqual(['tenant', 'version', 'if-match'])
    expect(JSON.stringify(paths['/admin/tenants']?.['post']?.requestBody)).toContain('concurrentMax')
    expect(JSON.stringify(body)).not.toContain('"$schema"')
  })
})
