import { afterEach, expect, test } from 'vitest'
import { SINGLE_SHARD, type ShardLayout } from '../../protocol/shard-layout.ts'
import { startTestProduct, type TestProduct } from '../support/product.ts'
import { until } from '../support/wait.ts'

/** The report protocol over real sockets: agents of the product, the edge and its objects on bare workerd. */
let product: TestProduct | undefined

afterEach(async () => {
  await product?.stop()
  product = undefined
})

interface Inspection {
  readonly shards: number
  readonly freshness: { readonly counts: readonly { readonly changes: number }[] }
  readonly streams: readonly { readonly cluster: string; readonly state: string; readonly entries: number }[]
}

async function inspect(region: string, shard: number): Promise<Inspection> {
  const response = await fetch(`${product!.origin}/admin/directory/${region}?shard=${shard}`, {
    headers: { authorization: `Bearer ${product!.adminToken}` },
  })
  return (await response.json()) as Inspection
}

async function ask(content: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${product!.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${product!.apiKey}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: product!.model, max_tokens: 2, messages: [{ role: 'user', content }] }),
  })
}

/** What the agents have told, all regions and clusters together, by region. */
function reported(): number {
  return product!.clusters
    .flatMap(({ agent }) => agent.cluster.states)
    .reduce((sum, { ledger }) => sum + [...ledger.resident()].length, 0)
}

async function held(region: string, shards: number): Promise<number[]> {
  const inspections = await Promise.all(Array.from({ length: shards }, (_, shard) => inspect(region, shard)))
  return inspections.map(({ streams }) => streams.reduce((sum, { entries }) => sum + entries, 0))
}

const LAYOUT: ShardLayout = { ...SINGLE_SHARD, shards: 3 }

test('a divided directory: every prompt lies in one shard, and is found there', async () => {
  product = await startTestProduct({
    edge: (config) => ({
      ...config,
      regions: config.regions.map((region) => ({ ...region, layout: LAYOUT })),
    }),
  })
  const { region } = product.clusters[0]!
  const prompts = Array.from({ length: 6 }, (_, i) => `conversation ${i} `.repeat(120))
  for (const prompt of prompts) expect((await ask(prompt)).status).toBe(200)
  await until('prompts to be resident', () => reported() > 20)
  await until('the shards to hold together what the agents told', async () => {
    const entries = await held(region.region, LAYOUT.shards)
    return entries.reduce((sum, count) => sum + count, 0) === reported()
  })
  const entries = await held(region.region, LAYOUT.shards)
  expect(entries.filter((count) => count > 0).length).toBeGreaterThan(1)
  expect((await inspect(region.region, 0)).shards).toBe(3)
  await until('a prompt to be known as warm', async () => {
    const receipt = (await ask(prompts[0]!)).headers.get('x-isotherm-route') ?? ''
    return /matched_tokens=[1-9]/.test(receipt) && /age_ms=\d/.test(receipt)
  })
})

test('an agent that stops says goodbye, and its cluster is gone at once', async () => {
  product = await startTestProduct()
  const [home, away] = product.clusters
  await home!.agent.stop(0)
  await until('the directory to hear of it', async () => {
    const { streams } = await inspect(away!.region.region, 0)
    return streams.find(({ cluster }) => cluster === home!.region.cluster)?.state === 'gone'
  })
  const answer = await ask('hello')
  expect(answer.status).toBe(200)
  expect(answer.headers.get('x-isotherm-route')).toMatch(`cluster=${away!.region.cluster}; `)
  expect(answer.headers.get('x-isotherm-route')).toContain('attempt=1')
})

test('changes are visible within the bound that the histogram names', async () => {
  product = await startTestProduct({ regions: 1, engines: ['both-0'] })
  const { region } = product.clusters[0]!
  expect((await ask('fresh '.repeat(200))).status).toBe(200)
  await until('changes to be counted', async () => {
    const { freshness } = await inspect(region.region, 0)
    return freshness.counts.some(({ changes }) => changes > 0)
  })
})
