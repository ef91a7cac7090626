import OpenAI, { AuthenticationError, BadRequestError, NotFoundError } from 'openai'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseReceipt } from '../../protocol/receipt.ts'
import { startTestProduct, type TestProduct } from '../support/product.ts'
import { until } from '../support/wait.ts'

/** The official client, unmodified, against the product on bare workerd. */
let product: TestProduct
let client: OpenAI

beforeAll(async () => {
  product = await startTestProduct({
    engines: ['prefill-0', 'decode-0'],
    // On a busy machine a refusal of half a megabyte comes late, and this is about its type.
    edge: (config) => ({ ...config, wholeGraceMs: 30_000 }),
  })
  client = new OpenAI({ baseURL: product.baseUrl, apiKey: product.apiKey, maxRetries: 0 })
})
afterAll(() => product?.stop())

const SYSTEM = 'You are a helpful assistant that answers questions about caches. '.repeat(40)
const engines = () => product.clusters.flatMap((cluster) => cluster.engines)

test('chat, not streamed: answer, usage, receipt, request id', async () => {
  const { data, response } = await client.chat.completions
    .create({
      model: product.model,
      max_tokens: 8,
      messages: [
        { role: 'system', content: SYSTEM },
        { role: 'user', content: 'hi' },
      ],
    })
    .withResponse()
  expect(data.object).toBe('chat.completion')
  expect(data.choices[0]?.message.role).toBe('assistant')
  expect(data.choices[0]?.message.content?.length).toBeGreaterThan(0)
  expect(data.choices[0]?.finish_reason).toBe('length')
  expect(data.usage?.completion_tokens).toBe(8)
  expect(data.usage?.prompt_tokens).toBeGreaterThan(100)
  expect(response.headers.get('x-request-id')).toMatch(/^[\w-]+$/)
  const receipt = parseReceipt(response.headers.get('x-isotherm-route') ?? '')
  expect(receipt).toMatchObject({ attempt: 1 })
  expect(product.clusters.map(({ region }) => region.cluster)).toContain(receipt?.cluster)
})

test('chat, streamed: chunks as they come, usage at the end', async () => {
  const stream = await client.chat.completions.create({
    model: product.model,
    max_tokens: 12,
    stream: true,
    stream_options: { include_usage: true },
    messages: [{ role: 'user', content: 'Tell me something long.' }],
  })
  let text = ''
  let chunks = 0
  let usage: OpenAI.CompletionUsage | null | undefined
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? ''
    usage = chunk.usage ?? usage
    chunks++
  }
  expect(text.length).toBeGreaterThan(0)
  expect(chunks).toBeGreaterThan(5)
  expect(usage?.completion_tokens).toBe(12)
})

test('completions, both ways, say the same', async () => {
  const request = { model: product.model, prompt: 'Once upon a time', max_tokens: 6, temperature: 0 }
  const whole = await client.completions.create(request)
  let streamed = ''
  for await (const chunk of await client.completions.create({ ...request, stream: true })) {
    streamed += chunk.choices[0]?.text ?? ''
  }
  expect(whole.choices[0]?.text).toBe(streamed)
  expect(whole.usage?.completion_tokens).toBe(6)
})

test('models', async () => {
  const models = await client.models.list()
  expect(models.data.map(({ id }) => id)).toEqual([product.model])
})

test('a warm follow-up is served from cache, and the receipt says so beforehand', async () => {
  const turn = (content: string) =>
    client.chat.completions
      .create({
        model: product.model,
        max_tokens: 2,
        messages: [
          { role: 'system', content: SYSTEM.repeat(3) },
          { role: 'user', content },
        ],
      })
      .withResponse()
  await turn('first')
  const receipt = await until('the directory to know the prefix', async () => {
    const { response } = await turn(`again ${Math.random()}`)
    const parsed = parseReceipt(response.headers.get('x-isotherm-route') ?? '')
    return parsed && parsed.matched_tokens > 0 ? parsed : null
  })
  expect(receipt.tier).not.toBe('none')
  const { data } = await turn('and once more')
  expect(data.usage?.prompt_tokens_details?.cached_tokens).toBeGreaterThan(receipt.prompt_tokens / 2)
})

test('abort in mid-stream stops the engine', async () => {
  /** vLLM's own field, which the client's types do not have. */
  const endless = { ignore_eos: true }
  const controller = new AbortController()
  const stream = await client.chat.completions.create(
    {
      model: product.model,
      max_tokens: 4000,
      stream: true,
      messages: [{ role: 'user', content: 'abort me' }],
      ...endless,
    },
    { signal: controller.signal },
  )
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content) break
  }
  controller.abort()
  await until(
    'every engine to be idle',
    () => engines().every((engine) => engine.stats().running + engine.stats().waiting === 0),
    5000,
  )
  expect(engines().reduce((sum, engine) => sum + engine.stats().aborted, 0)).toBeGreaterThan(0)
})

test('errors are typed', async () => {
  const wrongKey = new OpenAI({ baseURL: product.baseUrl, apiKey: 'wrong', maxRetries: 0 })
  const messages = [{ role: 'user' as const, content: 'hi' }]
  await expect(wrongKey.chat.completions.create({ model: product.model, messages })).rejects.toBeInstanceOf(
    AuthenticationError,
  )
  const unknown = client.chat.completions.create({ model: 'no-such-model', messages })
  await expect(unknown).rejects.toBeInstanceOf(NotFoundError)
  await expect(unknown).rejects.toMatchObject({ code: 'model_not_found' })
  const long = client.chat.completions.create({
    model: product.model,
    messages: [{ role: 'user', content: 'bada '.repeat(140_000) }],
  })
  await expect(long).rejects.toBeInstanceOf(BadRequestError)
  const response = await fetch(`${product.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${product.apiKey}`, 'content-type': 'application/json' },
    body: '{"model": ',
  })
  expect(response.status).toBe(400)
  expect(await response.json()).toMatchObject({
    error: { code: 'invalid_json', type: 'invalid_request_error' },
  })
  expect(response.headers.get('x-request-id')).not.toBeNull()
})
