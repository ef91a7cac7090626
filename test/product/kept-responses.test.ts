import OpenAI, { APIError, NotFoundError } from 'openai'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseReceipt } from '../../protocol/receipt.ts'
import { startTestProduct, type TestProduct } from '../support/product.ts'
import { until } from '../support/wait.ts'

/** The official client, unmodified, with responses that engines keep and make in the background. */
let product: TestProduct
let client: OpenAI

beforeAll(async () => {
  product = await startTestProduct()
  client = new OpenAI({ baseURL: product.baseUrl, apiKey: product.apiKey, maxRetries: 0 })
})
afterAll(() => product?.stop())

const engines = () => product.clusters.flatMap((cluster) => cluster.engines)
const isIdle = () => engines().every((engine) => engine.stats().running + engine.stats().waiting === 0)
const request = (fields: object = {}) => ({
  model: product.model,
  input: 'Tell me a story.',
  max_output_tokens: 8,
  ...fields,
})
/** vLLM's own field, which the client's types do not have. */
const endless = { max_output_tokens: 4000, ignore_eos: true }

test('create in the background, poll, continue', async () => {
  const begun = await client.responses.create({ ...request(), background: true })
  expect(begun).toMatchObject({ status: 'queued', background: true })
  const done = await until('the response', async () => {
    const { data, response } = await client.responses.retrieve(begun.id).withResponse()
    const receipt = parseReceipt(response.headers.get('x-isotherm-route') ?? '')
    expect(receipt).toMatchObject({ reason: 'kept', attempt: 1 })
    expect(begun.id).toContain(`-${receipt?.cluster}-`)
    expect(response.headers.get('x-request-id')).toMatch(/^[\w-]+$/)
    return data.status === 'queued' ? null : data
  })
  expect(done).toMatchObject({ id: begun.id, usage: { output_tokens: 8 } })
  expect(done.output_text.length).toBeGreaterThan(0)
  const next = await client.responses.create({ ...request(), previous_response_id: begun.id })
  expect(next.usage!.input_tokens).toBeGreaterThan(done.usage!.input_tokens)
})

test('what was answered at once is read again', async () => {
  const { _request_id: _, ...answered } = await client.responses.create(request())
  expect(await client.responses.retrieve(answered.id)).toMatchObject(answered)
})

test('a stream that broke is taken up where it ended', async () => {
  const stream = await client.responses.create({
    ...request({ max_output_tokens: 60, ignore_eos: true }),
    background: true,
    stream: true,
  })
  let [id, last, text] = ['', -1, '']
  for await (const event of stream) {
    if (event.type === 'response.created') id = event.response.id
    if (event.type !== 'response.output_text.delta') continue
    text += event.delta
    last = event.sequence_number
    break
  }
  const rest = await client.responses.retrieve(id, { stream: true, starting_after: last })
  let final = ''
  for await (const event of rest) {
    if (event.type === 'response.output_text.delta') text += event.delta
    if (event.type === 'response.completed') final = event.response.output.flatMap(textOf).join('')
  }
  expect(text.length).toBeGreaterThan(0)
  expect(text).toBe(final)
})

test('a cancellation frees the engine, and ends the stream of who was reading', async () => {
  const stream = await client.responses.create({ ...request(endless), background: true, stream: true })
  const events = stream[Symbol.asyncIterator]()
  const first = await events.next()
  const id = first.value?.type === 'response.created' ? first.value.response.id : ''
  expect(isIdle()).toBe(false)
  expect(await client.responses.cancel(id)).toMatchObject({ id, status: 'cancelled' })
  await until('every engine to be idle', isIdle)
  let isWhole = false
  for (let next = await events.next(); !next.done; next = await events.next())
    isWhole ||= next.value.type === 'response.completed'
  expect(isWhole).toBe(false)
  expect(await client.responses.retrieve(id)).toMatchObject({ status: 'cancelled' })
  await expect(client.responses.cancel(id)).rejects.toMatchObject({ status: 400, param: 'response_id' })
})

test('refusals are typed', async () => {
  const { id } = await client.responses.create(request())
  const forged = id.replace(/.$/, (letter) => (letter === 'A' ? 'B' : 'A'))
  for (const ask of [
    () => client.responses.retrieve(forged),
    () => client.responses.cancel(forged),
    () => client.responses.delete(forged),
  ]) {
    const asking = ask()
    await expect(asking).rejects.toBeInstanceOf(NotFoundError)
    await expect(asking).rejects.toMatchObject({ code: 'response_not_found', param: 'response_id' })
  }
  const deleting = client.responses.delete(id)
  await expect(deleting).rejects.toBeInstanceOf(APIError)
  await expect(deleting).rejects.toMatchObject({ status: 405, code: 'method_not_allowed' })
  const events = client.responses.retrieve(id, { stream: true })
  await expect(events).rejects.toMatchObject({ status: 400, param: 'stream' })
  await expect(client.responses.cancel(id)).rejects.toMatchObject({ status: 400, param: 'response_id' })
})

function textOf(item: OpenAI.Responses.ResponseOutputItem): string[] {
  if (item.type !== 'message') return []
  return item.content.flatMap((part) => (part.type === 'output_text' ? [part.text] : []))
}
