import OpenAI from 'openai'
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { startEngine, type RunningEngine } from '../../simulator/engine-server.ts'
import type { EngineOptionsInput } from '../../simulator/engine-options.ts'
import { wordText } from '../../simulator/model/vocabulary.ts'
import { range } from './drive.ts'
import type { AnyJson } from './fixtures.ts'
import { until } from '../support/wait.ts'

const running: RunningEngine[] = []

afterEach(async () => {
  await Promise.all(running.splice(0).map((engine) => engine.stop()))
})

async function start(options: Partial<EngineOptionsInput> = {}): Promise<RunningEngine> {
  const engine = await startEngine({ name: 'e', speed: 100, ...options })
  running.push(engine)
  return engine
}

function post(engine: RunningEngine, path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  return fetch(engine.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  })
}

const words = (count: number, from = 0): string =>
  range(from, count)
    .map((i) => wordText(i * 7))
    .join(' ')

test('the official client chats, streams, completes and lists models', async () => {
  const engine = await start()
  const client = new OpenAI({ baseURL: `${engine.url}/v1`, apiKey: 'none', maxRetries: 0 })
  const messages = [{ role: 'user' as const, content: 'Tell me a story.' }]
  const whole = await client.chat.completions.create({ model: 'isotherm-demo', messages })
  expect(whole.choices[0]!.finish_reason).toBe('stop')
  let text = ''
  const stream = await client.chat.completions.create({
    model: 'isotherm-demo',
    messages,
    stream: true,
    stream_options: { include_usage: true },
  })
  let usage
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? ''
    usage = chunk.usage ?? usage
  }
  expect(text).toBe(whole.choices[0]!.message.content)
  expect(usage?.completion_tokens).toBe(whole.usage?.completion_tokens)
  expect(usage?.prompt_tokens_details?.cached_tokens).toBe(Math.floor(whole.usage!.prompt_tokens / 16) * 16)
  const completion = await client.completions.create({
    model: 'isotherm-demo',
    prompt: words(20),
    max_tokens: 3,
  })
  expect(completion.choices[0]!.text.split(' ')).toHaveLength(3)
  const models = await client.models.list()
  expect(models.data.map(({ id }) => id)).toEqual(['isotherm-demo'])
  await expect(client.chat.completions.create({ model: 'other', messages })).rejects.toThrow(
    OpenAI.NotFoundError,
  )
})

test('the next turn hits the answer too: templates, tokens and KV agree', async () => {
  const engine = await start()
  const ask = async (messages: object[]): Promise<AnyJson> =>
    (await post(engine, '/v1/chat/completions', { messages, max_tokens: 200 })).json()
  const first = [{ role: 'user', content: words(50) }]
  const { choices, usage } = await ask(first)
  const next = await ask([...first, choices[0].message, { role: 'user', content: 'Go on.' }])
  const grown = usage.prompt_tokens + usage.completion_tokens
  const cached = next.usage.prompt_tokens_details.cached_tokens
  // All full blocks of prompt and answer: the end token itself was never computed.
  expect(cached).toBe(Math.floor((grown - 1) / 16) * 16)
})

test('minimum, maximum, stop strings, several choices and prompts', async () => {
  const engine = await start()
  const ask = async (fields: object): Promise<AnyJson> =>
    (await post(engine, '/v1/completions', { prompt: words(30), temperature: 0, ...fields })).json()
  const base = await ask({ max_tokens: 500 })
  expect(base.choices[0].finish_reason).toBe('stop')
  const natural = base.usage.completion_tokens
  const longer = await ask({ max_tokens: 500, min_tokens: natural + 10 })
  expect(longer.usage.completion_tokens).toBe(natural + 11)
  const forced = await ask({ max_tokens: natural + 5, ignore_eos: true })
  expect([forced.usage.completion_tokens, forced.choices[0].finish_reason]).toEqual([natural + 5, 'length'])
  const fifth = base.choices[0].text.split(' ')[5]
  const stopped = await ask({ max_tokens: 500, stop: [` ${fifth}`] })
  expect(stopped.choices[0]).toMatchObject({ finish_reason: 'stop', stop_reason: ` ${fifth}` })
  expect(stopped.choices[0].text).toBe(base.choices[0].text.split(` ${fifth}`)[0])
  const many = await ask({ prompt: [words(20), words(20, 50)], n: 2, max_tokens: 4 })
  expect(many.choices.map(({ index }: AnyJson) => index)).toEqual([0, 1, 2, 3])
  expect(new Set(many.choices.map(({ text }: AnyJson) => text)).size).toBe(4)
  expect(many.usage).toMatchObject({ prompt_tokens: 40, completion_tokens: 16 })
})

test('a salt keeps equal prompts apart', async () => {
  const engine = await start()
  const cached = async (salt?: string): Promise<number> => {
    const response = await post(engine, '/v1/completions', {
      prompt: words(40),
      max_tokens: 1,
      cache_salt: salt,
    })
    return ((await response.json()) as AnyJson).usage.prompt_tokens_details.cached_tokens
  }
  expect([await cached('a'), await cached('a'), await cached('b'), await cached()]).toEqual([0, 32, 0, 0])
})

test('a client that leaves ends its request: in a stream, and in the middle of a long prefill', async () => {
  const engine = await start({ speed: 1 })
  const streaming = new AbortController()
  const stream = await post(
    engine,
    '/v1/completions',
    { prompt: words(20), max_tokens: 1000, ignore_eos: true, stream: true },
    streaming.signal,
  )
  await stream.body!.getReader().read()
  expect(engine.stats().running).toBe(1)
  streaming.abort()
  await until('it has stopped', () => engine.stats().running === 0)
  expect(engine.stats().kvUsage).toBe(0)

  const prefilling = new AbortController()
  const answer = post(engine, '/v1/completions', { prompt: words(60_000), max_tokens: 1 }, prefilling.signal)
  answer.catch(() => undefined)
  await until('it prefills', () => engine.stats().running === 1)
  prefilling.abort()
  await until('the prefill has stopped', () => engine.stats().running === 0)
  await expect(answer).rejects.toThrow()
  expect(engine.stats()).toMatchObject({ kvUsage: 0, aborted: 2 })
  const steps = engine.stats().steps
  const after = await post(engine, '/v1/completions', { prompt: words(20), max_tokens: 1 })
  expect(after.status).toBe(200)
  expect(engine.stats().steps).toBe(steps + 1)
})

test('faults: silence, a failing status, and a crash after which it starts again on its ports', async () => {
  const engine = await start()
  engine.faults.failStatus = 500
  expect((await post(engine, '/v1/completions', { prompt: 'x' })).status).toBe(500)
  engine.faults.failStatus = null
  engine.faults.silent = true
  const leaving = new AbortController()
  const silent = fetch(`${engine.url}/health`, { signal: leaving.signal })
  silent.catch(() => undefined)
  const answered = await Promise.race([
    silent.then(() => true),
    new Promise((resolve) => setImmediate(resolve, false)),
  ])
  expect(answered).toBe(false)
  leaving.abort()
  engine.faults.silent = false

  await post(engine, '/v1/completions', { prompt: words(40), max_tokens: 1 })
  expect(engine.residency().gpu.length).toBeGreaterThan(0)
  const pending = post(engine, '/v1/completions', {
    prompt: words(40),
    max_tokens: 100_000,
    ignore_eos: true,
  })
  pending.catch(() => undefined)
  await until('it runs', () => engine.stats().running === 1)
  engine.kill()
  await expect(pending).rejects.toThrow()
  const again = await start({
    port: Number(new URL(engine.url).port),
    eventsPort: Number(engine.eventsEndpoint.split(':').at(-1)),
    replayPort: Number(engine.replayEndpoint.split(':').at(-1)),
    sideChannelPort: engine.sideChannelPort,
  })
  expect([again.url, again.eventsEndpoint, again.replayEndpoint]).toEqual([
    engine.url,
    engine.eventsEndpoint,
    engine.replayEndpoint,
  ])
  expect(again.residency()).toEqual({ gpu: [], cpu: [] })
  expect((await post(again, '/v1/completions', { prompt: words(40), max_tokens: 1 })).status).toBe(200)
})

test('too large a body is refused, and a request cut off in its body leaves nothing behind', async () => {
  const engine = await start()
  const large = await fetch(`${engine.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: `"${'x'.repeat(65 << 20)}"`,
  }).then(
    ({ status }) => status,
    () => 413,
  )
  expect(large).toBe(413)
  const { port } = new URL(engine.url)
  const socket = connect(Number(port), '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write(
    'POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{',
  )
  await until('the request is there', () => socket.bytesWritten > 0)
  socket.destroy()
  expect((await post(engine, '/v1/completions', { prompt: 'x', max_tokens: 1 })).status).toBe(200)
  expect(engine.stats()).toMatchObject({ running: 0, waiting: 0 })
})

test('metrics say what happened, under the names that routers scrape', async () => {
  const engine = await start({ version: '0.32.0', profile: { kvTokens: 16_000 } })
  await post(engine, '/v1/completions', { prompt: words(40), max_tokens: 3 })
  await post(engine, '/v1/completions', { prompt: words(40), max_tokens: 3 })
  const text = await (await fetch(`${engine.url}/metrics`)).text()
  const value = (series: string): number => {
    const line = text.split('\n').find((candidate) => candidate.startsWith(series))
    return Number(line?.split(' ').at(-1))
  }
  const labels = '{engine="0",model_name="isotherm-demo"}'
  expect(value(`vllm:prompt_tokens_total${labels}`)).toBe(80)
  expect(value(`vllm:prefix_cache_hits_total${labels}`)).toBe(32)
  expect(value(`vllm:prompt_tokens_cached_total${labels}`)).toBe(32)
  expect(value(`vllm:generation_tokens_total${labels}`)).toBe(6)
  expect(value(`vllm:time_to_first_token_seconds_count${labels}`)).toBe(2)
  expect(value('vllm:request_success_total{engine="0",finished_reason="length"')).toBe(2)
  expect(text).toMatch(/vllm:cache_config_info\{block_size="16",.*num_gpu_blocks="1001"/)
  expect(value('process_start_time_seconds')).toBeGreaterThan(1.7e9)
})
