import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startEngine, type RunningEngine } from '../../simulator/engine-server.ts'

/** The official clients, unmodified, against one engine. */
let engine: RunningEngine
let openai: OpenAI
let anthropic: Anthropic

beforeAll(async () => {
  engine = await startEngine({ name: 'e', speed: 100 })
  openai = new OpenAI({ baseURL: `${engine.url}/v1`, apiKey: 'none', maxRetries: 0 })
  anthropic = new Anthropic({ baseURL: engine.url, apiKey: 'none', maxRetries: 0 })
})
afterAll(() => engine.stop())

const model = 'isotherm-demo'
const parameters = { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } } }

test('Responses: whole, streamed alike, continued from what is kept', async () => {
  const request = { model, input: 'Tell me a story.', max_output_tokens: 8 }
  const whole = await openai.responses.create(request)
  expect(whole).toMatchObject({ object: 'response', status: 'incomplete', usage: { output_tokens: 8 } })
  let text = ''
  const types: string[] = []
  for await (const event of await openai.responses.create({ ...request, stream: true })) {
    types.push(event.type)
    if (event.type === 'response.output_text.delta') text += event.delta
  }
  expect(text).toBe(whole.output_text)
  expect([types[0], types.at(-1)]).toEqual(['response.created', 'response.completed'])
  const next = await openai.responses.create({ ...request, input: 'Go on.', previous_response_id: whole.id })
  expect(next.previous_response_id).toBe(whole.id)
  expect(next.usage!.input_tokens).toBeGreaterThan(whole.usage!.input_tokens + 8)
  const unknown = openai.responses.create({ ...request, previous_response_id: 'resp_unknown' })
  await expect(unknown).rejects.toMatchObject({ status: 404 })
})

test('Messages: whole, streamed alike, tools, counts', async () => {
  const messages = [{ role: 'user' as const, content: 'Tell me a story.' }]
  const whole = await anthropic.messages.create({ model, max_tokens: 8, messages })
  expect(whole).toMatchObject({ type: 'message', stop_reason: 'max_tokens', usage: { output_tokens: 8 } })
  const streamed = await anthropic.messages.stream({ model, max_tokens: 8, messages }).finalMessage()
  expect(streamed.content).toEqual(whole.content)
  const { input_tokens } = await anthropic.messages.countTokens({ model, messages })
  expect(input_tokens).toBe(whole.usage.input_tokens)
  const tools = [{ name: 'forecast', input_schema: { ...parameters, type: 'object' as const } }]
  const called = await anthropic.messages
    .stream({ model, max_tokens: 100, messages, tools, tool_choice: { type: 'tool', name: 'forecast' } })
    .finalMessage()
  expect(called).toMatchObject({
    stop_reason: 'tool_use',
    content: [{ type: 'tool_use', name: 'forecast', input: { city: 'bada', days: 7 } }],
  })
})

test('chat: tools and JSON of a schema, whole and streamed', async () => {
  const messages = [{ role: 'user' as const, content: 'What is the weather?' }]
  const tools = [{ type: 'function' as const, function: { name: 'forecast', parameters } }]
  const called = await openai.chat.completions.create({ model, messages, tools, tool_choice: 'required' })
  expect(called.choices[0]).toMatchObject({
    finish_reason: 'tool_calls',
    message: {
      content: null,
      tool_calls: [{ function: { name: 'forecast', arguments: '{"city":"bada","days":7}' } }],
    },
  })
  const stream = openai.chat.completions.stream({ model, messages, tools, tool_choice: 'required' })
  const final = await stream.finalChatCompletion()
  expect(final.choices[0]?.message.tool_calls).toMatchObject([
    { function: { name: 'forecast', arguments: '{"city":"bada","days":7}' } },
  ])
  const format = { type: 'json_schema' as const, json_schema: { name: 'weather', schema: parameters } }
  const json = await openai.chat.completions.create({ model, messages, response_format: format })
  expect(JSON.parse(json.choices[0]!.message.content!)).toEqual({ city: 'bada', days: 7 })
})

test('embeddings, one vector a text, in floats and in base64', async () => {
  const input = ['one', 'two', 'one']
  const packed = await openai.embeddings.create({ model, input })
  const plain = await openai.embeddings.create({ model, input, encoding_format: 'float' })
  expect(packed.data.map(({ embedding }) => embedding.length)).toEqual([32, 32, 32])
  expect(packed.data[0]!.embedding).toEqual(packed.data[2]!.embedding)
  expect(packed.data[0]!.embedding[0]).toBeCloseTo(plain.data[0]!.embedding[0]!)
  await expect(openai.embeddings.create({ model: 'nope', input })).rejects.toMatchObject({ status: 404 })
})
