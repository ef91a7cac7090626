import { expect, test } from 'vitest'
import { changesBetween } from '../../../cluster-agent/discovery/changes.ts'
import type { EndpointSpec } from '../../../cluster-agent/discovery/endpoint-spec.ts'
import { EndpointRegistry, LATE, REUSE_AFTER_MS } from '../../../cluster-agent/discovery/registry.ts'

const spec = (endpoint: string, fields: Partial<EndpointSpec> = {}): EndpointSpec => ({
  endpoint,
  url: `http://${endpoint}:8000`,
  role: 'both',
  events: `tcp://${endpoint}:5557`,
  profile: {
    prefill: { fixedMs: 1, msPerToken: 1, msPerTokenPair: 0 },
    decodeStepMs: 1,
    decodeMsPerSequence: 0.1,
    batchTokensMax: 4096,
    kvTokens: 1000,
    tiers: {},
    transfer: { floorMs: 1, bytesPerMs: 1 },
  },
  ...fields,
})

test('a number is given out again only after its endpoint is retired, released and some time has passed', () => {
  const registry = new EndpointRegistry(2)
  expect(registry.open(spec('a'), 0)?.number).toBe(0)
  expect(registry.open(spec('b'), 0)?.number).toBe(1)
  registry.release(0, 0)
  expect(registry.open(spec('c'), 0)).toBeNull()
  registry.retire(0)
  expect(registry.endpoints.map(({ name }) => name)).toEqual(['b'])
  expect(registry.endpoint(0)?.name).toBe('a')
  expect(registry.open(spec('c'), 1e9)).toBeNull()
  registry.release(0, 100)
  expect(registry.endpoint(0)).toBeNull()
  expect(registry.open(spec('c'), 99 + REUSE_AFTER_MS)).toBeNull()
  expect(registry.open(spec('c'), 100 + REUSE_AFTER_MS)?.number).toBe(0)
})

test('an endpoint that drains takes nothing, however well it is', () => {
  const registry = new EndpointRegistry(1)
  registry.open(spec('a'), 0)
  expect(registry.unavailable(0)).toBe('starting')
  registry.setFault(0, null)
  expect(registry.unavailable(0)).toBeNull()
  registry.update(0, spec('a', { isServing: false }))
  expect(registry.unavailable(0)).toBe('draining')
  registry.update(0, spec('a', { isServing: true }))
  expect(registry.unavailable(0)).toBeNull()
  registry.retire(0)
  expect(registry.unavailable(0)).toBe('gone')
  expect(registry.unavailable(7)).toBe('gone')
})

test('an endpoint that is only late takes requests while nobody is well', () => {
  const registry = new EndpointRegistry(3)
  for (const name of ['a', 'b', 'c']) registry.open(spec(name), 0)
  registry.setFault(0, LATE)
  registry.setFault(1, null)
  registry.setFault(2, 'ECONNREFUSED')
  expect([0, 1, 2].map((number) => registry.unavailable(number))).toEqual([LATE, null, 'ECONNREFUSED'])
  registry.update(1, spec('b', { isServing: false }))
  expect([0, 1, 2].map((number) => registry.unavailable(number))).toEqual([null, 'draining', 'ECONNREFUSED'])
  registry.update(1, spec('b', { isServing: true }))
  expect(registry.unavailable(0)).toBe(LATE)
  registry.retire(1)
  expect(registry.unavailable(0)).toBeNull()
})

test('another incarnation or address is another endpoint, other fields are not', () => {
  const present = [spec('a', { incarnation: 'uid-1' }), spec('b'), spec('c'), spec('d')].map(
    (of, number) => ({ number, spec: of }),
  )
  const changes = changesBetween(present, [
    spec('a', { incarnation: 'uid-2' }),
    spec('b', { role: 'prefill' }),
    spec('c'),
    spec('e'),
    spec('e', { role: 'decode' }),
  ])
  expect(changes.retired).toEqual([0, 3])
  expect(changes.updated.map(({ number, spec: { role } }) => [number, role])).toEqual([[1, 'prefill']])
  expect(changes.opened.map(({ endpoint, role }) => [endpoint, role])).toEqual([
    ['a', 'both'],
    ['e', 'both'],
  ])
})
