import { afterEach, expect, test } from 'vitest'
import { startEngine, type RunningEngine } from '../../simulator/engine-server.ts'
import type { EngineOptionsInput } from '../../simulator/engine-options.ts'
import { exchanges, shapeOf, type AnyJson } from './fixtures.ts'
import { range } from './drive.ts'
import { until } from '../support/wait.ts'

const PREFILL = {
  do_remote_decode: true,
  do_remote_prefill: false,
  remote_engine_id: null,
  remote_block_ids: null,
  remote_host: null,
  remote_port: null,
}
const PROMPT = range(300, 70)
const running: RunningEngine[] = []

afterEach(async () => {
  await Promise.all(running.splice(0).map((engine) => engine.stop()))
})

async function start(name: string, options: Partial<EngineOptionsInput> = {}): Promise<RunningEngine> {
  const profile = { blockTokens: 32, kvTokens: 12 * 32, contextTokensMax: 256, cpuKvTokens: 0 }
  const engine = await startEngine({ name, model: 'tiny', speed: 100, profile, ...options })
  running.push(engine)
  return engine
}

async function complete(engine: RunningEngine, fields: object, signal?: AbortSignal) {
  const response = await fetch(`${engine.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'tiny', prompt: PROMPT, temperature: 0, ignore_eos: true, ...fields }),
    ...(signal === undefined ? {} : { signal }),
  })
  return { status: response.status, body: (await response.json()) as AnyJson }
}

async function prefill(engine: RunningEngine, fields: object = {}): Promise<AnyJson> {
  const { status, body } = await complete(engine, { max_tokens: 1, kv_transfer_params: PREFILL, ...fields })
  expect(status).toBe(200)
  return body
}

test('both legs have the recorded fields, and say what one engine would say', async () => {
  const [p, d] = await Promise.all([start('p'), start('d')])
  const recorded = exchanges('0.32.0', 'pd')
  const leg = (name: string): AnyJson => recorded.find((exchange) => exchange.name === name)!.response.json
  const alone = await complete(p, { max_tokens: 4 })
  expect(await (await fetch(`${p.url}/reset_prefix_cache`, { method: 'POST' })).json()).toEqual({
    success: true,
  })

  const first = await prefill(p)
  const asRecorded = leg('completions: prefill')
  expect(shapeOf(first)).toEqual(shapeOf(asRecorded))
  expect(Object.keys(first.kv_transfer_params)).toEqual(Object.keys(asRecorded.kv_transfer_params))
  // The same blocks even: the pool's queue was in the recorded order.
  expect(first.kv_transfer_params.remote_block_ids).toEqual(asRecorded.kv_transfer_params.remote_block_ids)
  expect(first.kv_transfer_params.remote_request_id).toMatch(/^cmpl-[0-9a-f]{16}-0-[0-9a-f]{8}$/)
  expect(p.stats().kvUsage).toBe(3 / 12)

  const second = await complete(d, { max_tokens: 4, kv_transfer_params: first.kv_transfer_params })
  expect(shapeOf(second.body)).toEqual(shapeOf(leg('completions: decode')))
  expect(second.body.choices[0].text).toBe(alone.body.choices[0].text)
  expect(second.body.usage.prompt_tokens_details.cached_tokens).toBe(0)
  expect(d.residency().gpu).toEqual(p.residency().gpu)
  expect(d.residency().gpu).toHaveLength(2)
  await until('the prefill engine lets go', () => p.stats().kvUsage === 0)

  const warm = await prefill(p)
  expect(warm.kv_transfer_params.remote_prefill_cached_tokens).toBe(64)
  const again = await complete(d, { max_tokens: 4, kv_transfer_params: warm.kv_transfer_params })
  const warmUsage = leg('warm on both sides: decode').usage
  expect(again.body.usage).toEqual(warmUsage)
})

test('without the prefill count the decode leg reports the whole prompt as cached', async () => {
  const [p, d] = await Promise.all([start('p', { version: '0.23.0' }), start('d', { version: '0.23.0' })])
  const { kv_transfer_params: params } = await prefill(p)
  expect(params).not.toHaveProperty('remote_prefill_cached_tokens')
  const { body } = await complete(d, { max_tokens: 2, kv_transfer_params: params })
  expect(body.usage.prompt_tokens_details).toEqual({ cached_tokens: 70 })
})

test('the same parameters twice, or for another prompt, give garbage with status 200', async () => {
  const [p, d] = await Promise.all([start('p'), start('d')])
  const alone = await complete(await start('alone'), { max_tokens: 4 })
  const { kv_transfer_params: params } = await prefill(p)
  const good = await complete(d, { max_tokens: 4, kv_transfer_params: params })
  const twice = await complete(d, { max_tokens: 4, kv_transfer_params: params })
  expect(good.body.choices[0].text).toBe(alone.body.choices[0].text)
  expect(twice.status).toBe(200)
  expect(twice.body.choices[0].text).not.toBe(alone.body.choices[0].text)

  const fresh = await prefill(p)
  const other = { prompt: range(500, 70), max_tokens: 4 }
  const wrong = await complete(d, { ...other, kv_transfer_params: fresh.kv_transfer_params })
  const right = await complete(p, other)
  expect(wrong.status).toBe(200)
  expect(wrong.body.choices[0].text).not.toBe(right.body.choices[0].text)
})

test('an unknown request id still reads the blocks it names, which stay pinned', async () => {
  const [p, d] = await Promise.all([start('p'), start('d')])
  const { kv_transfer_params: params } = await prefill(p)
  const alone = await complete(await start('alone'), { max_tokens: 4 })
  const { status, body } = await complete(d, {
    max_tokens: 4,
    kv_transfer_params: { ...params, remote_request_id: 'x' },
  })
  expect(status).toBe(200)
  expect(body.choices[0].text).toBe(alone.body.choices[0].text)
  expect(p.stats().kvUsage).toBe(3 / 12)
})

test('a decode leg whose prefill engine is gone, or has another version, is an internal error', async () => {
  const [p, d, old] = await Promise.all([start('p'), start('d'), start('old', { version: '0.23.0' })])
  const { kv_transfer_params: params } = await prefill(p)
  expect((await complete(old, { max_tokens: 4, kv_transfer_params: params })).status).toBe(500)
  p.kill()
  const { status, body } = await complete(d, { max_tokens: 4, kv_transfer_params: params })
  expect([status, body.error.type, body.error.code]).toEqual([500, 'InternalServerError', 500])
})

test('incomplete decode parameters mean a local prefill', async () => {
  const d = await start('d')
  const params = { do_remote_prefill: true, do_remote_decode: false, remote_request_id: 'x' }
  const { status, body } = await complete(d, { max_tokens: 4, kv_transfer_params: params })
  expect(status).toBe(200)
  expect(body.kv_transfer_params).toBeNull()
  expect(d.stats().promptTokens).toBe(70)
})

test('without remote_request_id the decode leg hangs, and the engine dies when its client leaves', async () => {
  const [p, d] = await Promise.all([start('p'), start('d')])
  const { remote_request_id: _, ...params } = (await prefill(p)).kv_transfer_params
  const leaving = new AbortController()
  const answer = complete(d, { max_tokens: 4, kv_transfer_params: params }, leaving.signal)
  answer.catch(() => undefined)
  await until('it waits', () => d.stats().waiting === 1)
  expect((await fetch(`${d.url}/health`)).status).toBe(200)
  leaving.abort()
  await expect(answer).rejects.toThrow()
  await until('the engine is dead', () =>
    fetch(`${d.url}/health`).then(
      () => false,
      () => true,
    ),
  )
})

test('a client that leaves during the transfer frees both engines', async () => {
  const slow = { blockTokens: 32, kvTokens: 384, contextTokensMax: 256, cpuKvTokens: 0 }
  const transfer = { floorMs: 600_000, bytesPerMs: 40e6 }
  const [p, d] = await Promise.all([start('p'), start('d', { speed: 1, profile: { ...slow, transfer } })])
  const { kv_transfer_params: params } = await prefill(p)
  const leaving = new AbortController()
  const answer = complete(d, { max_tokens: 4, kv_transfer_params: params }, leaving.signal)
  answer.catch(() => undefined)
  await until('the blocks are reserved', () => d.stats().kvUsage > 0)
  leaving.abort()
  await until('decode is free', () => d.stats().kvUsage === 0 && d.stats().aborted === 1)
  await until('prefill is free', () => p.stats().kvUsage === 0)
  await expect(answer).rejects.toThrow()
})
