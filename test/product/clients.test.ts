import Anthropic, {
  AuthenticationError,
  NotFoundError,
  RateLimitError as AnthropicRateLimitError,
} from '@anthropic-ai/sdk'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, jsonSchema, Output, streamText, tool, type ToolSet } from 'ai'
import OpenAI, { RateLimitError } from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseReceipt } from '../../protocol/receipt.ts'
import { startTestProduct, type TestProduct } from '../support/product.ts'
import { until } from '../support/wait.ts'

/** Clients that nobody here wrote, unmodified, against the product on bare workerd. */
let product: TestProduct
let openai: OpenAI
let anthropic: Anthropic

const LIMITED_KEY = 'iso-limited-key'
const hash = async (key: string) =>
  Buffer.from(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(key))).toString('hex')

beforeAll(async () => {
  const limited = await hash(LIMITED_KEY)
  product = await startTestProduct({
    edge: (config) => ({
      ...config,
      tenants: [
        ...config.tenants,
        {
          tenant: 'limited',
          apiKeySha256: [limited],
          policy: { regions: config.regions.map(({ region }) => region), requestsPerMinute: 1 },
        },
      ],
    }),
  })
  openai = new OpenAI({ baseURL: product.baseUrl, apiKey: product.apiKey, maxRetries: 0 })
  anthropic = new Anthropic({ baseURL: product.origin, apiKey: product.apiKey, maxRetries: 0 })
})
afterAll(() => product?.stop())

const engines = () => product.clusters.flatMap((cluster) => cluster.engines)
const isIdle = () => engines().every((engine) => engine.stats().running + engine.stats().waiting === 0)
const messages = [{ role: 'user' as const, content: 'Tell me a story about caches.' }]
const parameters = {
  type: 'object' as const,
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city', 'days'],
  additionalProperties: false,
}
const CALLED = { city: 'bada', days: 7 }

describe('openai', () => {
  test('responses: streamed, tools, structured output, and a continuation that finds its cluster', async () => {
    const { model } = product
    const { data: first, response } = await openai.responses
      .create({ model, input: 'Tell me a story.', max_output_tokens: 8 })
      .withResponse()
    const home = parseReceipt(response.headers.get('x-isotherm-route') ?? '')?.cluster
    expect(first).toMatchObject({ status: 'incomplete', usage: { output_tokens: 8 } })
    expect(first.id).toMatch(new RegExp(`^resp_[0-9a-f]{32}-${home}-`))
    const { data: next, response: again } = await openai.responses
      .create({ model, input: 'Go on.', previous_response_id: first.id, max_output_tokens: 4 })
      .withResponse()
    expect(parseReceipt(again.headers.get('x-isotherm-route') ?? '')?.cluster).toBe(home)
    expect(next.usage!.input_tokens).toBeGreaterThan(first.usage!.input_tokens + 8)
    let text = ''
    for await (const event of await openai.responses.create({ model, input: 'Stream.', stream: true })) {
      if (event.type === 'response.output_text.delta') text += event.delta
      if (event.type === 'response.completed') expect(event.response.output_text ?? text).toBe(text)
    }
    expect(text.length).toBeGreaterThan(20)
    const tools = [{ type: 'function' as const, name: 'forecast', parameters, strict: true }]
    const called = await openai.responses.create({ model, input: 'Weather?', tools, tool_choice: 'required' })
    expect(called.output).toMatchObject([
      { type: 'function_call', name: 'forecast', arguments: JSON.stringify(CALLED) },
    ])
    const format = { type: 'json_schema' as const, name: 'weather', schema: parameters }
    const structured = await openai.responses.parse({ model, input: 'Weather?', text: { format } })
    expect(structured.output_parsed).toEqual(CALLED)
  })

  test('a response id that is not the caller’s is not found', async () => {
    const other = new OpenAI({ baseURL: product.baseUrl, apiKey: LIMITED_KEY, maxRetries: 0 })
    const mine = await openai.responses.create({ model: product.model, input: 'Mine.', max_output_tokens: 2 })
    const theirs = other.responses.create({
      model: product.model,
      input: 'Go on.',
      previous_response_id: mine.id,
    })
    await expect(theirs).rejects.toMatchObject({ status: expect.any(Number) })
    await expect(theirs).rejects.toSatisfy((error: { status: number }) => [404, 429].includes(error.status))
  })

  test('chat: tools and structured output, whole and streamed', async () => {
    const tools = [{ type: 'function' as const, function: { name: 'forecast', parameters } }]
    const request = { model: product.model, messages, tools, tool_choice: 'required' as const }
    const whole = await openai.chat.completions.create(request)
    const streamed = await openai.chat.completions.stream(request).finalChatCompletion()
    for (const { choices } of [whole, streamed]) {
      expect(choices[0]).toMatchObject({
        finish_reason: 'tool_calls',
        message: { tool_calls: [{ function: { name: 'forecast', arguments: JSON.stringify(CALLED) } }] },
      })
    }
    const format = { type: 'json_schema' as const, json_schema: { name: 'weather', schema: parameters } }
    const parsed = await openai.chat.completions.parse({
      model: product.model,
      messages,
      response_format: format,
    })
    expect(parsed.choices[0]?.message.parsed).toEqual(CALLED)
  })

  test('embeddings', async () => {
    const { data } = await openai.embeddings.create({ model: product.model, input: ['one', 'two', 'one'] })
    expect(data).toHaveLength(3)
    expect(data[0]!.embedding).toEqual(data[2]!.embedding)
    expect(data[0]!.embedding).not.toEqual(data[1]!.embedding)
  })

  test('abort of an answer that comes whole stops the engine within a second', async () => {
    const controller = new AbortController()
    const endless = { ignore_eos: true }
    const asking = openai.chat.completions.create(
      { model: product.model, max_tokens: 60_000, messages, ...endless },
      { signal: controller.signal },
    )
    asking.catch(() => undefined)
    await until('an engine to work', () => !isIdle())
    controller.abort()
    await until('every engine to be idle', isIdle, 5000)
    await expect(asking).rejects.toThrow()
  })
})

describe('anthropic', () => {
  test('messages: whole, streamed alike, tools, counts, models', async () => {
    const { model } = product
    const whole = await anthropic.messages.create({ model, max_tokens: 8, messages })
    expect(whole).toMatchObject({ type: 'message', stop_reason: 'max_tokens', usage: { output_tokens: 8 } })
    expect(whole._request_id).toMatch(/^[\w-]+$/)
    const streamed = await anthropic.messages.stream({ model, max_tokens: 8, messages }).finalMessage()
    expect(streamed.content).toEqual(whole.content)
    const { input_tokens } = await anthropic.messages.countTokens({ model, messages })
    expect(input_tokens).toBe(whole.usage.input_tokens)
    const tools = [{ name: 'forecast', input_schema: parameters }]
    const called = await anthropic.messages
      .stream({ model, max_tokens: 100, messages, tools, tool_choice: { type: 'any' } })
      .finalMessage()
    expect(called.content).toMatchObject([{ type: 'tool_use', name: 'forecast', input: CALLED }])
    const results = await anthropic.messages.create({
      model,
      max_tokens: 4,
      tools,
      messages: [
        ...messages,
        { role: 'assistant', content: called.content },
        {
          role: 'user',
          content: called.content.flatMap((block) =>
            block.type === 'tool_use'
              ? [{ type: 'tool_result' as const, tool_use_id: block.id, content: 'rain' }]
              : [],
          ),
        },
      ],
    })
    expect(results.usage.input_tokens).toBeGreaterThan(input_tokens)
    expect((await anthropic.models.list()).data.map(({ id }) => id)).toEqual([model])
  })

  test('errors are typed', async () => {
    const request = { model: product.model, max_tokens: 8, messages }
    const wrong = new Anthropic({ baseURL: product.origin, apiKey: 'wrong', maxRetries: 0 })
    await expect(wrong.messages.create(request)).rejects.toBeInstanceOf(AuthenticationError)
    const unknown = anthropic.messages.create({ ...request, model: 'no-such-model' })
    await expect(unknown).rejects.toBeInstanceOf(NotFoundError)
    await expect(unknown).rejects.toMatchObject({
      error: { type: 'error', error: { type: 'not_found_error' } },
    })
    await expect(anthropic.messages.create({ ...request, messages: [] })).rejects.toMatchObject({
      status: 400,
    })
  })

  test('abort in mid-stream stops the engine', async () => {
    const endless = { ignore_eos: true }
    const stream = anthropic.messages.stream({
      model: product.model,
      max_tokens: 60_000,
      messages,
      ...endless,
    })
    await new Promise<void>((resolve) => {
      stream.on('text', () => resolve())
    })
    stream.abort()
    await expect(stream.finalMessage()).rejects.toThrow()
    await until('every engine to be idle', isIdle, 5000)
  })
})

describe('ai', () => {
  const provider = () =>
    createOpenAICompatible({
      name: 'isotherm',
      baseURL: product.baseUrl,
      apiKey: product.apiKey,
      supportsStructuredOutputs: true,
    })

  test('text, streamed alike', async () => {
    const model = provider().chatModel(product.model)
    const options = { model, prompt: 'Tell me a story.', maxOutputTokens: 12, maxRetries: 0 }
    const { text, usage } = await generateText(options)
    expect(usage.outputTokens).toBe(12)
    let streamed = ''
    for await (const delta of streamText(options).textStream) streamed += delta
    expect(streamed).toBe(text)
  })

  test('tools and objects', async () => {
    const model = provider().chatModel(product.model)
    const forecast = tool({ description: 'the weather', inputSchema: jsonSchema<typeof CALLED>(parameters) })
    const { toolCalls } = await generateText({
      model,
      prompt: 'Weather?',
      // Its types do not go with exactOptionalPropertyTypes.
      tools: { forecast: forecast as unknown as ToolSet[string] },
      toolChoice: 'required',
      maxRetries: 0,
    })
    expect(toolCalls).toMatchObject([{ toolName: 'forecast', input: CALLED }])
    const { output } = await generateText({
      model,
      prompt: 'Weather?',
      output: Output.object({ schema: jsonSchema<typeof CALLED>(parameters) }),
      maxRetries: 0,
    })
    expect(output).toEqual(CALLED)
  })

  test('embeddings', async () => {
    const model = provider().embeddingModel(product.model)
    const { embeddings } = await model.doEmbed({ values: ['one', 'two'] })
    expect(embeddings).toHaveLength(2)
  })
})

test('429 is typed, and says when', async () => {
  const request = { model: product.model, max_tokens: 2, messages }
  const limited = new OpenAI({ baseURL: product.baseUrl, apiKey: LIMITED_KEY, maxRetries: 0 })
  const spend = async () => {
    await limited.chat.completions.create(request)
    return null
  }
  const refused = await until('the limit', () => spend().catch((error: unknown) => error))
  expect(refused).toBeInstanceOf(RateLimitError)
  expect(Number((refused as RateLimitError).headers.get('retry-after'))).toBeGreaterThan(0)
  const other = new Anthropic({ baseURL: product.origin, apiKey: LIMITED_KEY, maxRetries: 0 })
  await expect(other.messages.create(request)).rejects.toBeInstanceOf(AnthropicRateLimitError)
})
