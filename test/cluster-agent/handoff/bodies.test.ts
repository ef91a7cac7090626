import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cleanBody, engineBody, withFields } from '../../../cluster-agent/handoff/engine-body.ts'
import { takesExactTokens, withExactTokens } from '../../../cluster-agent/handoff/exact-tokens.ts'
import type { JsonObject } from '../../../cluster-agent/handoff/json.ts'
import { kvSourceParams, parseKvSource } from '../../../cluster-agent/handoff/kv-source.ts'
import { prefillFields, usageFields } from '../../../cluster-agent/handoff/leg-fields.ts'

const encode = (text: string) => new TextEncoder().encode(text)
function sent(text: string, fields: JsonObject): unknown {
  const bytes = encode(text)
  const { head, tail } = engineBody(cleanBody(bytes, JSON.parse(text) as JsonObject), fields)
  return JSON.parse((head ? new TextDecoder().decode(head) : '') + tail)
}

test('our fields are appended to the client bytes, whatever they are', () => {
  const key = fc
    .string()
    .filter(
      (name) =>
        ![
          'kv_transfer_params',
          'cache_salt',
          'priority',
          'request_id',
          'session_id',
          'ec_transfer_params',
          'vllm_xargs',
          '__proto__',
        ].includes(name),
    )
  fc.assert(
    fc.property(fc.dictionary(key, fc.jsonValue()), fc.constantFrom('', ' ', '\n\t'), (body, space) => {
      const text = JSON.stringify(body).replace(/\}$/, `${space}}${space}`)
      expect(sent(text, { cache_salt: 's' })).toEqual({
        ...(JSON.parse(text) as JsonObject),
        cache_salt: 's',
      })
    }),
  )
  expect(sent('{}', {})).toEqual({})
  expect(sent('{}', { a: 1 })).toEqual({ a: 1 })
})

test('the last key wins, so a client cannot outwit us by escapes or by saying a field twice', () => {
  const hostile = String.raw`{"a":1,"cache\u005fsalt":"theirs","cache_salt":"theirs too"}`
  expect(sent(hostile, { cache_salt: 'ours' })).toEqual({ a: 1, cache_salt: 'ours' })
})

test('what the edge decided is appended; what the body says alike is not', () => {
  const text = '{"model":"alias","prompt":"x"}'
  const clean = cleanBody(encode(text), JSON.parse(text) as JsonObject)
  expect(withFields(clean, { model: 'alias' })).toBe(clean)
  const decided = withFields(clean, { model: 'real', request_id: 'resp_1' })
  expect(decided.json).toEqual({ model: 'real', prompt: 'x', request_id: 'resp_1' })
  const { head, tail } = engineBody(decided, { cache_salt: 's' })
  expect(new TextDecoder().decode(head!)).toBe(text.slice(0, -1))
  expect(tail).toBe(',"model":"real","request_id":"resp_1","cache_salt":"s"}')
  const empty = withFields(cleanBody(encode('{ }'), {}), { model: 'real' })
  expect(engineBody(empty, {}).tail).toBe('"model":"real"}')
})

test('forbidden fields are left out, also inside vllm_xargs', () => {
  const body = {
    prompt: 'x',
    kv_transfer_params: { remote_host: 'evil' },
    ec_transfer_params: {},
    request_id: 'r',
    session_id: 's',
    priority: -5,
    vllm_xargs: { kv_transfer_params: '{}', do_remote_prefill: 1, mine: 'kept' },
  }
  const cleaned = cleanBody(encode(JSON.stringify(body)), body)
  expect(cleaned).toMatchObject({ isClean: false, json: { prompt: 'x', vllm_xargs: { mine: 'kept' } } })
  expect(sent(JSON.stringify(body), { cache_salt: 'ours' })).toEqual({
    prompt: 'x',
    vllm_xargs: { mine: 'kept' },
    cache_salt: 'ours',
  })
})

test('the prefill leg asks for one token, whatever the client asked for', () => {
  const request = Object.freeze({
    prompt: 'x',
    stream: true,
    stream_options: { include_usage: true },
    max_completion_tokens: 50,
    min_tokens: 9,
    temperature: 0.5,
  })
  const params = { do_remote_decode: true }
  expect(sent(JSON.stringify(request), prefillFields('chat', request, params, false))).toEqual({
    prompt: 'x',
    stream: false,
    stream_options: null,
    max_tokens: 1,
    max_completion_tokens: 1,
    min_tokens: 0,
    temperature: 0.5,
    kv_transfer_params: params,
  })
  expect(prefillFields('completions', { prompt: 'x' }, params, true)).toEqual({
    stream: false,
    max_tokens: 1,
    return_token_ids: true,
    kv_transfer_params: params,
  })
})

test('usage of a stream is asked for once, at its end, unless the client asked itself', () => {
  const asked = (options: unknown, api: 'chat' | 'completions' = 'chat') =>
    usageFields(api, { stream: true, ...(options === undefined ? {} : { stream_options: options }) })
  const once = { include_usage: true, continuous_usage_stats: false }
  expect(asked(undefined)).toEqual({ stream_options: once })
  expect(asked(null, 'completions')).toEqual({ stream_options: once })
  expect(asked({ include_usage: false, continuous_usage_stats: true, mine: 1 })).toEqual({
    stream_options: { ...once, mine: 1 },
  })
  expect(asked({ include_usage: true, continuous_usage_stats: true })).toEqual({})
  expect(usageFields('chat', { stream: false })).toEqual({})
})

test('exact tokens go along only when they are all of the prompt and the engine knows the field', () => {
  const params = { remote_num_tokens: 3, remote_request_id: 'r' }
  const both = { ...params, prompt_token_ids: [1, 2, 3] }
  expect(withExactTokens(params, { prompt_token_ids: [1, 2, 3] })).toEqual(both)
  expect(withExactTokens(params, { choices: [{ prompt_token_ids: [1, 2, 3] }] })).toEqual(both)
  for (const tokens of [[1, 2], [1, 2, -3], [1, 2, 0.5], ['1', '2', '3'], [], null, 'x'])
    expect(withExactTokens(params, { prompt_token_ids: tokens })).toBe(params)
  expect(['0.31.2', '0.23.0', null, 'x'].map(takesExactTokens)).toEqual([false, false, false, false])
  expect(['0.32.0', '0.33.1', '1.0.0'].map(takesExactTokens)).toEqual([true, true, true])
})

test('a peer is named by host and port', () => {
  expect(parseKvSource('10.0.0.7:5710')).toEqual({ host: '10.0.0.7', port: 5710 })
  expect(parseKvSource('[::1]:5710')).toEqual({ host: '[::1]', port: 5710 })
  for (const bad of ['', ':1', 'host', 'host:0', 'host:70000', 'host:x'])
    expect(parseKvSource(bad)).toBeNull()
  expect(kvSourceParams({ host: 'h', port: 1 }, 'id')).toEqual({
    remote_kv_source: { kv_request_id: 'id', remote_host: 'h', remote_port: 1 },
  })
})
