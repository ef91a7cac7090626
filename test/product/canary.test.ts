import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestProduct, type TestProduct } from '../support/product.ts'
import { until } from '../support/wait.ts'

/** Nothing of a prompt is in what the started product writes or tells operators: logs, receipts, metrics, stored objects. */
const CANARY = 'zephyrquokka7f3canary'
const SAID = `Remember the word ${CANARY}. `.repeat(60)
let product: TestProduct

beforeAll(async () => {
  product = await startTestProduct({ isWritten: true })
})
afterAll(() => product?.stop())

const post = async (path: string, body: object | string, key = product.apiKey) => {
  const response = await fetch(`${product.origin}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  await response.text()
  return { status: response.status, requestId: response.headers.get('x-request-id') ?? '' }
}

const read = async (path: string) => {
  const response = await fetch(`${product.origin}${path}`, {
    headers: { authorization: `Bearer ${product.adminToken}` },
  })
  expect(response.status, path).toBe(200)
  return response.text()
}

/** The bytes of every file below the product's folders. */
async function written(): Promise<{ file: string; bytes: Buffer }[]> {
  const entries = await Promise.all(
    product.folders.map((folder) => readdir(folder, { recursive: true, withFileTypes: true })),
  )
  const files = entries.flat().filter((entry) => entry.isFile())
  return Promise.all(
    files.map(async ({ parentPath, name }) => {
      const file = join(parentPath, name)
      return { file, bytes: await readFile(file) }
    }),
  )
}

test('no byte of a prompt stays', { timeout: 60_000 }, async () => {
  const { model } = product
  const messages = [
    { role: 'system', content: SAID },
    { role: 'user', content: SAID },
  ]
  const tools = [
    { type: 'function', function: { name: 'f', description: SAID, parameters: { type: 'object' } } },
  ]
  const served = await Promise.all([
    post('/v1/chat/completions', { model, max_tokens: 4, messages, tools, user: CANARY }),
    post('/v1/chat/completions', { model, max_tokens: 4, messages, stream: true, prompt_cache_key: CANARY }),
    post('/v1/completions', { model, max_tokens: 4, prompt: SAID }),
    post('/v1/responses', { model, max_output_tokens: 4, input: SAID, instructions: SAID }),
    post('/v1/messages', {
      model,
      max_tokens: 4,
      system: SAID,
      messages: messages.slice(1),
      metadata: { user_id: CANARY },
    }),
    post('/v1/embeddings', { model, input: SAID }),
  ])
  expect(served.map(({ status }) => status)).toEqual(served.map(() => 200))
  const refused = await Promise.all([
    post('/v1/chat/completions', `{"model":"${model}","messages":[{"content":"${SAID}`),
    post('/v1/chat/completions', { model, messages: [{ content: SAID }] }),
    post('/v1/chat/completions', { model, messages: SAID }),
    post('/v1/chat/completions', { model: 'absent', messages }),
    post('/v1/chat/completions', { model, max_tokens: -1, temperature: SAID, messages }),
    post('/v1/responses', { model, input: 'hi', previous_response_id: SAID }),
    post('/v1/chat/completions', { model, messages }, CANARY),
  ])
  expect(refused.map(({ status }) => status)).not.toContain(200)
  expect((await post('/v1/route/explain', { request: { model, messages } })).status).toBe(200)

  const regions = [...new Set(product.clusters.map(({ region }) => region.region))]
  const receipts = async () =>
    (await Promise.all(regions.map((region) => read(`/admin/receipts?region=${region}`)))).join('')
  await until('every request that was served to have its receipt', async () => {
    const text = await receipts()
    return served.every(({ requestId }) => text.includes(requestId))
  })
  const told = await Promise.all([
    receipts(),
    read('/metrics'),
    read('/admin/counters'),
    ...regions.map((region) => read(`/admin/directory/${region}`)),
    ...product.clusters.map(async ({ agent }) => (await fetch(`${agent.url}/metrics`)).text()),
  ])
  for (const text of told) expect(text).not.toContain(CANARY)

  const files = await written()
  const holding = (word: string) =>
    files
      .filter(({ bytes }) => bytes.includes(word) || bytes.includes(Buffer.from(word, 'utf16le')))
      .map(({ file }) => file)
  // What is written can be found: receipts are stored by their request ids, agents log by them.
  expect(holding(served[0]!.requestId).length).toBeGreaterThan(1)
  expect(holding(CANARY)).toEqual([])
})
