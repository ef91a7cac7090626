import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  connectorOf,
  prefillDetails,
  type Connector,
  type ConnectorName,
  type Transfer,
} from '../../../cluster-agent/handoff/connector.ts'
import type { JsonObject } from '../../../cluster-agent/handoff/json.ts'
import { readBootstrap } from '../../../cluster-agent/handoff/mooncake.ts'
import { readExchanges } from '../../support/recorded.ts'

interface Case {
  readonly name: ConnectorName
  readonly transfer: Transfer
  /** A prefill answer that is whole. */
  readonly answer: JsonObject
  /** What decode finds the transfer by: without one of them a real engine hangs or dies. */
  readonly needed: readonly string[]
}

const PARAMS = {
  do_remote_prefill: true,
  do_remote_decode: false,
  remote_request_id: 'r',
  remote_engine_id: 'e',
  remote_block_ids: [[1, 2]],
  remote_host: 'h',
  remote_port: 5600,
  tp_size: 1,
  remote_num_tokens: 33,
  remote_prefill_cached_tokens: 16,
}
const CASES: readonly Case[] = [
  {
    name: 'nixl',
    transfer: { id: 't-1', bootstrap: null },
    answer: { kv_transfer_params: PARAMS },
    needed: ['remote_request_id', 'remote_engine_id', 'remote_block_ids', 'remote_host', 'remote_port'],
  },
  {
    name: 'mooncake',
    transfer: { id: 't-1', bootstrap: { url: 'http://p:8998', engineId: 'e' } },
    answer: {},
    needed: ['transfer_id', 'remote_bootstrap_addr', 'remote_engine_id'],
  },
]

describe.each(CASES)('$name', ({ name, transfer, answer, needed }) => {
  const connector: Connector = connectorOf(name)

  test('the two legs say who computes and who pulls', () => {
    expect(connector.prefillParams(transfer)).toMatchObject({
      do_remote_decode: true,
      do_remote_prefill: false,
    })
    expect(connector.decodeParams(transfer, answer)).toMatchObject({
      do_remote_decode: false,
      do_remote_prefill: true,
    })
  })

  test('a decode leg has everything that it finds its KV by, or no params at all', () => {
    const given = fc.oneof(fc.jsonValue(), fc.record({ kv_transfer_params: fc.jsonValue() }), damaged())
    const bootstrap = fc.option(fc.record({ url: fc.string(), engineId: fc.string() }))
    fc.assert(
      fc.property(given, fc.string(), bootstrap, (value, id, bootstrap) => {
        const params = connector.decodeParams({ id, bootstrap }, value)
        if (params === null) return
        for (const field of needed) {
          expect(params[field] ?? null).not.toBeNull()
          expect(params[field]).not.toBe('')
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('nothing that is given is changed', () => {
    const before = structuredClone({ transfer, answer })
    connector.prefillParams(transfer)
    connector.decodeParams(transfer, answer)
    expect({ transfer, answer }).toEqual(before)
  })
})

/** A whole answer with one of its fields gone or of another kind. */
function damaged() {
  return fc
    .tuple(fc.constantFrom(...Object.keys(PARAMS)), fc.oneof(fc.constant(undefined), fc.jsonValue()))
    .map(([field, value]) => ({ kv_transfer_params: { ...PARAMS, [field]: value } }))
}

const nixl = connectorOf('nixl')
const transfer = { id: 't', bootstrap: null }

test('recorded prefill answers give the params that their decode legs carried, verbatim', () => {
  const exchanges = readExchanges('v0.32.0', 'pd')
  const asked = (at: number) => exchanges[at]?.request.json?.['kv_transfer_params'] as JsonObject | undefined
  let pairs = 0
  for (const [at, { response }] of exchanges.entries()) {
    const params = nixl.decodeParams(transfer, response.json)
    if (!params || asked(at)?.['do_remote_decode'] !== true) continue
    const id = params['remote_request_id']
    const decode = exchanges.findIndex((_, later) => later > at && asked(later)?.['remote_request_id'] === id)
    if (decode < 0) continue
    expect(asked(decode)).toEqual(params)
    pairs++
  }
  expect(pairs).toBeGreaterThan(4)
})

test.each([
  { do_remote_prefill: undefined },
  { do_remote_decode: true },
  { remote_request_id: null },
  { remote_port: 0 },
  { remote_port: '5600' },
  { remote_block_ids: [] },
  { remote_block_ids: [[]] },
  { remote_block_ids: [[1], ['2']] },
  { remote_block_ids: [-1] },
  { remote_prefill_cached_tokens: 34 },
  { remote_prefill_cached_tokens: '16' },
])('params with %j are not used', (change) => {
  expect(nixl.decodeParams(transfer, { kv_transfer_params: { ...PARAMS, ...change } })).toBeNull()
})

test('flat block lists of older engines and unknown keys are kept as they are', () => {
  const params = { ...PARAMS, remote_block_ids: [1, 2], unknown_key: { deep: [1] } }
  expect(nixl.decodeParams(transfer, { kv_transfer_params: params })).toBe(params)
})

test('what the prefill leg had cached is read from its usage', () => {
  const details = { cached_tokens: 32 }
  expect(prefillDetails({ usage: { prompt_tokens_details: details } })).toBe(details)
  expect([null, {}, { usage: null }, 'x'].map(prefillDetails)).toEqual([null, null, null, null])
})

test('a bootstrap server names its engines by rank', () => {
  const answer = { '0': { engine_id: 'zero' }, '1': { engine_id: 'one' } }
  expect(readBootstrap('u', answer, 1)).toEqual({ url: 'u', engineId: 'one' })
  for (const bad of [null, [], {}, { '1': {} }, { '1': { engine_id: '' } }, { '1': { engine_id: 7 } }])
    expect(readBootstrap('u', bad, 1)).toBeNull()
})
