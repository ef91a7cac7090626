import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestProduct, type TestProduct } from '../support/product.ts'
import { until } from '../support/wait.ts'

/** Tenants of the policy store on the started product: keys, money and receipts with agents that really report. */
const PRICES = { '*': { uncachedUsd: 1, cachedUsd: 0.1, outputUsd: 2 } }
const POLICY = { regions: ['us-east', 'eu-central'], prices: PRICES }
const PROMPT = 'The same long system prompt is said again and again. '.repeat(60)

let product: TestProduct

beforeAll(async () => {
  product = await startTestProduct()
})

afterAll(async () => {
  await product?.stop()
})

async function admin(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${product.origin}/admin${path}`, {
    method,
    headers: {
      authorization: `Bearer ${product.adminToken}`,
      'content-type': 'application/json',
      'if-match': '*',
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  expect(response.ok).toBe(true)
  return (await response.json()) as Record<string, unknown>
}

async function newTenant(
  tenant: string,
  policy: object = {},
): Promise<{ tenant: string; key: string; keyId: string }> {
  await admin('POST', '/tenants', { tenant, policy: { ...POLICY, ...policy } })
  const { apiKey, keyId } = await admin('POST', `/tenants/${tenant}/keys`, {})
  return { tenant, key: String(apiKey), keyId: String(keyId) }
}

async function ask(
  key: string,
  body: object = {},
): Promise<{ status: number; id: string; usage: Usage | undefined }> {
  const response = await fetch(`${product.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: product.model,
      max_tokens: 4,
      messages: [{ role: 'user', content: PROMPT }],
      ...body,
    }),
  })
  // A late answer is kept alive with spaces.
  const text = (await response.text()).trimStart()
  const usage = text.startsWith('{') ? (JSON.parse(text) as { usage?: Usage }).usage : undefined
  return { status: response.status, id: response.headers.get('x-request-id') ?? '', usage }
}

interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null
}

interface UsageBody {
  readonly total: {
    readonly requests: number
    readonly uncachedTokens: number
    readonly cachedTokens: number
    readonly outputTokens: number
    readonly costUsd: number
  }
  readonly budget: { readonly spentUsd: number; readonly heldUsd: number } | null
  readonly requestsUnderWay: number
}

async function usageOf(key: string): Promise<UsageBody> {
  const response = await fetch(`${product.baseUrl}/usage`, { headers: { authorization: `Bearer ${key}` } })
  return (await response.json()) as UsageBody
}

test('what engines counted is what the tenant is told and pays', async () => {
  const { key } = await newTenant('counted')
  const answers = [await ask(key), await ask(key), await ask(key)]
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
  const sum = (pick: (usage: Usage) => number) =>
    answers.reduce((total, { usage }) => total + pick(usage!), 0)
  const cachedTokens = sum(({ prompt_tokens_details: details }) => details?.cached_tokens ?? 0)
  const uncachedTokens = sum(({ prompt_tokens: tokens }) => tokens) - cachedTokens
  const outputTokens = sum(({ completion_tokens: tokens }) => tokens)
  expect(cachedTokens).toBeGreaterThan(0)
  const { total } = await until('every outcome to be settled', async () => {
    const usage = await usageOf(key)
    return usage.total.requests === 3 ? usage : null
  })
  expect(total).toMatchObject({ uncachedTokens, cachedTokens, outputTokens })
  expect(total.costUsd).toBeCloseTo((uncachedTokens + 0.1 * cachedTokens + 2 * outputTokens) / 1e6, 12)
})

test('a receipt joins what the edge decided with what came true', async () => {
  const { key, tenant } = await newTenant('told')
  const { id } = await ask(key, { stream: true })
  const receipt = await until('the outcome to arrive', async () => {
    const response = await fetch(`${product.baseUrl}/receipts/${id}`, {
      headers: { authorization: `Bearer ${key}` },
    })
    const found = (await response.json()) as { outcomes?: unknown[] }
    return found.outcomes?.length ? found : null
  })
  expect(receipt).toMatchObject({
    edge: { tenant, policyVersion: 1, stream: true, status: 200, attempts: [{ attempt: 1 }] },
    outcomes: [{ requestId: id, end: 'complete', status: 200 }],
  })
  const metrics = await fetch(`${product.origin}/metrics`, {
    headers: { authorization: `Bearer ${product.adminToken}` },
  })
  expect(await metrics.text()).toMatch(/isotherm_outcomes_total\{[^}]*end="complete"\} \d/)
})

test('a budget holds under a burst, and what is spent comes from the engines', async () => {
  const usd = 0.05
  const { key } = await newTenant('bounded', { budget: { usd, period: 'month' } })
  const statuses: number[] = []
  for (let burst = 0; burst < 5; burst++) {
    statuses.push(
      ...(await Promise.all(Array.from({ length: 12 }, () => ask(key)))).map(({ status }) => status),
    )
  }
  expect(new Set(statuses)).toEqual(new Set([200, 429]))
  const settled = await until('every outcome to be settled', async () => {
    const usage = await usageOf(key)
    return usage.requestsUnderWay === 0 ? usage : null
  })
  expect(settled.total.requests).toBe(statuses.filter((status) => status === 200).length)
  expect(settled.budget!.spentUsd).toBeLessThanOrEqual(usd)
  expect(settled.budget!.spentUsd).toBeCloseTo(settled.total.costUsd, 12)
})

test('a revoked key is dead within ten seconds, and the others live', async () => {
  const { key, tenant, keyId } = await newTenant('revoked')
  const other = String((await admin('POST', `/tenants/${tenant}/keys`, {}))['apiKey'])
  expect([(await ask(key)).status, (await ask(other)).status]).toEqual([200, 200])
  await admin('DELETE', `/tenants/${tenant}/keys/${keyId}`)
  await until('the key to be dead', async () => (await ask(key)).status === 401, 10_000)
  expect((await ask(other)).status).toBe(200)
})
