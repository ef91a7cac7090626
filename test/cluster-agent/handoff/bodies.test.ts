import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cleanBody, engineBody } from '../../../cluster-agent/handoff/engine-body.ts'
import { parseTransferParams, prefillBody, type JsonObject } from '../../../cluster-agent/handoff/nixl.ts'
import { readExchanges } from '../../support/recorded.ts'

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

test('the prefill leg asks for one token and changes nothing of the request', () => {
  const request = Object.freeze({
    prompt: 'x',
    stream: true,
    stream_options: { include_usage: true },
    max_completion_tokens: 50,
    min_tokens: 9,
    temperature: 0.5,
  })
  expect(prefillBody(request)).toEqual({
    prompt: 'x',
    stream: false,
    max_tokens: 1,
    max_completion_tokens: 1,
    temperature: 0.5,
    kv_transfer_params: {
      do_remote_decode: true,
      do_remote_prefill: false,
      remote_engine_id: null,
      remote_block_ids: null,
      remote_host: null,
      remote_port: null,
    },
  })
  expect(prefillBody({ prompt: 'x' })).not.toHaveProperty('max_completion_tokens')
})

test('recorded prefill answers give the params that their decode legs carried, verbatim', () => {
  const exchanges = readExchanges('v0.32.0', 'pd')
  const asked = (at: number) => exchanges[at]?.request.json?.['kv_transfer_params'] as JsonObject | undefined
  let pairs = 0
  for (const [at, { response }] of exchanges.entries()) {
    const params = parseTransferParams(response.json)
    if (!params || asked(at)?.['do_remote_decode'] !== true) continue
    const decode = exchanges
      .slice(at + 1)
      .find(
        ({ request }) =>
          (request.json?.['kv_transfer_params'] as JsonObject | undefined)?.['remote_request_id'] ===
          params.verbatim['remote_request_id'],
      )
    if (!decode) continue
    expect(decode.request.json?.['kv_transfer_params']).toMatchObject({
      remote_engine_id: params.verbatim['remote_engine_id'],
    })
    pairs++
  }
  expect(pairs).toBeGreaterThan(2)
})

test.each([
  'remote_request_id',
  'remote_engine_id',
  'remote_block_ids',
  'remote_host',
  'remote_port',
  'do_remote_prefill',
])('params without %s are not used: they could kill an engine', (name) => {
  const whole: Record<string, unknown> = {
    do_remote_prefill: true,
    remote_request_id: 'r',
    remote_engine_id: 'e',
    remote_block_ids: [[1]],
    remote_host: 'h',
    remote_port: 5600,
    tp_size: 1,
  }
  expect(parseTransferParams({ kv_transfer_params: whole })?.verbatim).toBe(whole)
  const { [name]: _, ...rest } = whole
  expect(parseTransferParams({ kv_transfer_params: rest })).toBeNull()
  expect(parseTransferParams({ kv_transfer_params: { ...whole, [name]: null } })).toBeNull()
})

test.each([null, {}, { kv_transfer_params: null }, { kv_transfer_params: [] }, 'x'])(
  'no params in %j',
  (answer) => {
    expect(parseTransferParams(answer)).toBeNull()
  },
)
