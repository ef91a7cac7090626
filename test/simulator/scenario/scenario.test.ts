import { expect, test } from 'vitest'
import { policyByName } from '../../../simulator/policies/catalogue.ts'
import { buildShape, buildWorkload } from '../../../simulator/scenario/build.ts'
import { parseScenario, withVariant } from '../../../simulator/scenario/scenario.ts'
import { readScenario, scenarioNames } from '../../../simulator/scenario-file.ts'

const TRACE = [{ timestampMs: 0, inputTokens: 600, outputTokens: 5, blockIds: [0, 1] }]

test('the issue names these scenarios, and each is there with its variants', () => {
  const names = scenarioNames()
  for (const name of [
    'b2b-73',
    'capacity-37',
    'latency-a',
    'latency-b',
    'latency-c',
    'latency-d',
    'fork',
    'tiers',
    'documents',
    'cascade',
    'mooncake',
    'agents',
    'tenants',
    'failover',
    'staleness',
    'adapters',
    'heterogeneous',
  ])
    expect(names).toContain(name)
  for (const name of names) {
    const { scenario, raw, source } = readScenario(name)
    expect(scenario.name).toBe(name)
    for (const policy of scenario.policies) expect(policy === 'gorgo' || policyByName(policy)).toBeTruthy()
    const variants = scenario.variants.length === 0 ? [{ name: '', set: {} }] : scenario.variants
    expect(new Set(variants.map((variant) => variant.name)).size).toBe(variants.length)
    // A name with a comma could not be given to --variants.
    for (const variant of variants) expect(variant.name).not.toContain(',')
    for (const variant of variants) {
      const built = withVariant(raw, variant, source)
      expect(buildShape(built).clusters.length).toBeGreaterThan(0)
    }
  }
})

test('a workload has numbered requests by time and blocks below its count', () => {
  for (const name of ['b2b-73', 'cascade', 'generated', 'mooncake', 'fork']) {
    const { scenario } = readScenario(name)
    const { requests, blockCount, blockTokens } = buildWorkload(scenario, 1, TRACE)
    expect(requests.length).toBeGreaterThan(0)
    for (const [number, request] of requests.entries()) {
      const { blocks, promptTokens } = request
      const isWhole = blocks.length >= Math.floor(promptTokens / blockTokens)
      // One expectation a request: one a block takes longer than drawing the workload.
      expect([request.number, isWhole, blocks.every((block) => block < blockCount)]).toEqual([
        number,
        true,
        true,
      ])
    }
  }
})

test('what is wrong is said with the name of the field', () => {
  const { raw } = readScenario('b2b-73')
  const wrong = (path: string, value: unknown) => () =>
    withVariant(raw, { name: 'wrong', set: { [path]: value } }, 'mine.yaml')
  expect(wrong('workload.groups', -1)).toThrow(/workload\.groups/)
  expect(wrong('workload.stages.0.ratePerS', 'fast')).toThrow(/workload\.stages\.0\.ratePerS/)
  expect(wrong('world.clusters.0.endpoints.0.profile', 'abacus')).toThrow(
    /world\.clusters\.0\.endpoints\.0\.profile/,
  )
  expect(wrong('world.speed', 1)).toThrow(/world/)
  expect(() => parseScenario('x', 'mine.yaml')).toThrow(/whole file/)
  const nowhere = withVariant(raw, { name: 'x', set: { 'world.clusters.0.region': 'atlantis' } }, 'mine.yaml')
  expect(() => buildShape(nowhere)).toThrow(/world\.clusters\.0\.region/)
  expect(() => buildWorkload(readScenario('mooncake').scenario, 1, null)).toThrow(/--trace/)
  expect(() => readScenario('no-such')).toThrow(/no scenario 'no-such'/)
})

test('a conversation forks from the turn on that its class says, on the prefix that it has by then', () => {
  const { requests } = buildWorkload(readScenario('fork').scenario, 1, null)
  const parents = requests.filter(({ label }) => label === 'parent')
  const forks = requests.filter(({ label }) => label === 'fork')
  expect(parents.length).toBeGreaterThan(0)
  expect(forks.length % 43).toBe(0)
  for (const fork of forks) {
    const parent = parents.find(({ session }) => session === fork.session)
    expect(parent?.arrivalMs).toBeLessThan(fork.arrivalMs)
    const shared = Math.floor((parent?.promptTokens ?? 0) / 64)
    expect(fork.blocks.slice(0, shared)).toEqual(parent?.blocks.slice(0, shared))
  }
})
