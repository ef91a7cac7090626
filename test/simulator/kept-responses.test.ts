import OpenAI from 'openai'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startEngine, type RunningEngine } from '../../simulator/engine-server.ts'
import { until } from '../support/wait.ts'

/** Responses that an engine keeps, and makes in the background, as vLLM 0.32 does. */
let engine: RunningEngine
let openai: OpenAI

beforeAll(async () => {
  engine = await startEngine({ name: 'e', speed: 20 })
  openai = new OpenAI({ baseURL: `${engine.url}/v1`, apiKey: 'none', maxRetries: 0 })
})
afterAll(() => engine.stop())

const model = 'isotherm-demo'
const request = { model, input: 'Tell me a story.', max_output_tokens: 8 }
/** vLLM's own field, which the client's types do not have. */
const endless = { ...request, max_output_tokens: 4000, ignore_eos: true }

test('what was answered is read as it was answered, whole or streamed', async () => {
  const whole = await openai.responses.create(request)
  const { _request_id: _, ...answered } = whole
  expect(await openai.responses.retrieve(whole.id)).toMatchObject(answered)
  let id = ''
  for await (const event of await openai.responses.create({ ...request, stream: true })) {
    if (event.type === 'response.created') id = event.response.id
  }
  expect(await openai.responses.retrieve(id)).toMatchObject({ id, output_text: whole.output_text })
})

test('in the background it is queued, then whole, and can be continued', async () => {
  const begun = await openai.responses.create({ ...request, background: true })
  expect(begun).toMatchObject({ status: 'queued', background: true, output: [], usage: null })
  const done = await until('the response', async () => {
    const now = await openai.responses.retrieve(begun.id)
    return now.status === 'queued' ? null : now
  })
  expect(done).toMatchObject({ status: 'incomplete', background: true, usage: { output_tokens: 8 } })
  expect(done.output_text).toBe((await openai.responses.create(request)).output_text)
  const next = await openai.responses.create({ ...request, previous_response_id: begun.id })
  expect(next.usage!.input_tokens).toBeGreaterThan(done.usage!.input_tokens + 8)
})

test('its events are kept, from the first or from a later one on', async () => {
  const types = async (stream: AsyncIterable<OpenAI.Responses.ResponseStreamEvent>) => {
    const seen: OpenAI.Responses.ResponseStreamEvent[] = []
    for await (const event of stream) seen.push(event)
    return seen
  }
  const first = await types(await openai.responses.create({ ...request, background: true, stream: true }))
  const created = first[0]?.type === 'response.created' ? first[0].response.id : ''
  expect(first.at(-1)?.type).toBe('response.completed')
  expect(await types(await openai.responses.retrieve(created, { stream: true }))).toEqual(first)
  const later = await openai.responses.retrieve(created, { stream: true, starting_after: 3 })
  expect(await types(later)).toEqual(first.slice(4))
})

test('a cancelled one frees the engine and stays cancelled', async () => {
  const { id } = await openai.responses.create({ ...endless, background: true })
  await until('it to run', () => engine.stats().running > 0)
  expect(await openai.responses.cancel(id)).toMatchObject({ id, status: 'cancelled' })
  await until('the engine to be idle', () => engine.stats().running + engine.stats().waiting === 0)
  expect(await openai.responses.retrieve(id)).toMatchObject({ status: 'cancelled', output: [] })
  await expect(openai.responses.cancel(id)).rejects.toMatchObject({
    status: 400,
    error: { message: 'Cannot cancel a synchronous response.', param: 'response_id' },
  })
})

test('refusals are vLLM’s', async () => {
  const unknown = { status: 404, error: { message: "Response with id 'resp_x' not found." } }
  await expect(openai.responses.retrieve('resp_x')).rejects.toMatchObject(unknown)
  await expect(openai.responses.cancel('resp_x')).rejects.toMatchObject(unknown)
  await expect(openai.responses.delete('resp_x')).rejects.toMatchObject({ status: 405 })
  const whole = await openai.responses.create(request)
  await expect(openai.responses.cancel(whole.id)).rejects.toMatchObject({ status: 400 })
  const unkept = openai.responses.create({ ...request, background: true, store: false })
  await expect(unkept).rejects.toMatchObject({ status: 400, param: 'background' })
  const bad = await fetch(`${engine.url}/v1/responses/${whole.id}?starting_after=x`)
  expect([bad.status, await bad.json()]).toMatchObject([
    400,
    { error: { type: 'Bad Request', param: 'query.starting_after' } },
  ])
})

test('an engine that keeps nothing, which is vLLM’s default, works in no background', async () => {
  const plain = await startEngine({ name: 'plain', speed: 20, keepsResponses: false })
  const client = new OpenAI({ baseURL: `${plain.url}/v1`, apiKey: 'none', maxRetries: 0 })
  const { id } = await client.responses.create(request)
  await expect(client.responses.retrieve(id)).rejects.toMatchObject({ status: 404 })
  await expect(client.responses.create({ ...request, background: true })).rejects.toMatchObject({
    status: 400,
    param: 'background',
  })
  await plain.stop()
})
