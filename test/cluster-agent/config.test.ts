import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseAgentConfig } from '../../cluster-agent/config.ts'
import { configDocument, PATH } from '../../scripts/agent-config-table.ts'
import { TEST_SECRETS } from '../support/cluster.ts'

const base = {
  cluster: 'c',
  region: 'r',
  listen: { port: 0 },
  models: [{ model: 'm', contextTokensMax: 100, kvBytesPerToken: 1 }],
}
const profile = { prefill: { fixedMs: 1, msPerToken: 1, msPerTokenPair: 0 }, decodeStepMs: 1, kvTokens: 1000 }
const endpoint = { endpoint: 'a', url: 'http://a:8000', events: 'tcp://a:5557', profile }

test('the document is what the schema says', () => {
  // After a change: node scripts/run.mjs scripts/agent-config-table.ts
  expect(readFileSync(new URL(`../../${PATH}`, import.meta.url), 'utf8')).toBe(configDocument())
})

test.for<[string, Record<string, unknown>]>([
  ['none is named', {}],
  ['none is named', { discovery: {} }],
  ['named twice', { endpoints: [endpoint, endpoint] }],
  ['endpointsMax', { endpoints: [endpoint], endpointsMax: 257 }],
  ['either inferencePool or services', { discovery: { kubernetes: { profile } } }],
  [
    'either inferencePool or services',
    { discovery: { kubernetes: { profile, inferencePool: 'p', services: ['s'] } } },
  ],
  [
    'ports of events and replay overlap',
    {
      discovery: {
        kubernetes: { profile, inferencePool: 'p', ranks: 2, eventsPort: 5557, replayPort: 5558 },
      },
    },
  ],
  ['tracing.otlpUrl', { endpoints: [endpoint], tracing: { otlpUrl: 'collector:4318' } }],
  ['tracing.sampleRatio', { endpoints: [endpoint], tracing: { otlpUrl: 'http://c:4318', sampleRatio: 2 } }],
])('%s', ([fault, fields]) => {
  expect(() => parseAgentConfig({ ...base, ...fields }, TEST_SECRETS)).toThrow(fault)
})

test('a fault names the secret and never shows it', () => {
  const secret = 'short-secret'
  let message = ''
  try {
    parseAgentConfig({ ...base, endpoints: [endpoint] }, { ...TEST_SECRETS, ISOTHERM_ADMIN_TOKEN: secret })
  } catch (error) {
    message = String(error)
  }
  expect(message).toContain('ISOTHERM_ADMIN_TOKEN')
  expect(message).not.toContain(secret)
})
