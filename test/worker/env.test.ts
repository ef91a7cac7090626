import { env } from 'cloudflare:workers'
import { expect, test } from 'vitest'
import { authenticateOperator } from '../../worker/authenticate.ts'
import { readEdge, type EdgeBindings } from '../../worker/env.ts'

const config = JSON.parse(env.ISOTHERM_CONFIG) as Record<string, unknown> & {
  clusters: object[]
  tenants: object[]
}

test('the bindings of wrangler.toml with the secrets are an edge, parsed once', () => {
  const edge = readEdge(env)
  expect([...edge.regions.keys()]).toEqual(['us-east'])
  expect(edge.tenants.size).toBe(1)
  expect(readEdge(env)).toBe(edge)
  expect(readEdge({ ...env })).not.toBe(edge)
})

test('operators have names, by which the audit log tells them apart', () => {
  const { operators } = readEdge({ ...env, OPERATOR_TOKENS: '{"ann":"token-of-ann"}' })
  expect(authenticateOperator(operators, 'Bearer token-of-ann')).toBe('ann')
  expect(authenticateOperator(operators, `Bearer ${env.ADMIN_TOKEN}`)).toBe('operator')
  expect(() => authenticateOperator(operators, 'Bearer token-of-an')).toThrow('Incorrect operator token')
})

test.each([
  ['no JSON', { ISOTHERM_CONFIG: '{' }, 'ISOTHERM_CONFIG is no JSON'],
  [
    'a field that nobody knows',
    { ISOTHERM_CONFIG: JSON.stringify({ ...config, colour: 1 }) },
    /ISOTHERM_CONFIG: all of it/,
  ],
  [
    'a home that is no region',
    { ISOTHERM_CONFIG: JSON.stringify({ ...config, homeRegion: 'mars' }) },
    /homeRegion/,
  ],
  [
    'a cluster twice',
    { ISOTHERM_CONFIG: JSON.stringify({ ...config, clusters: [...config.clusters, ...config.clusters] }) },
    /a cluster appears twice/,
  ],
  [
    'a tenant twice',
    { ISOTHERM_CONFIG: JSON.stringify({ ...config, tenants: [...config.tenants, ...config.tenants] }) },
    /a tenant appears twice/,
  ],
  ['a secret that is none', { ADMIN_TOKEN: 'short' }, /ADMIN_TOKEN/],
  ['a token of an operator that is none', { OPERATOR_TOKENS: '{"ann":"short"}' }, /OPERATOR_TOKENS/],
  ['a secret that is missing', { PREFIX_SECRET: undefined }, /PREFIX_SECRET/],
])('%s is named, its value is not', (_, change, message) => {
  const bindings = { ...env, ...change } as unknown as EdgeBindings
  expect(() => readEdge(bindings)).toThrow(message)
  expect(() => readEdge(bindings)).not.toThrow('short')
})
