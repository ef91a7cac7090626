import { expect, test } from 'vitest'
import { prefillMs } from '../../../core/cost-model.ts'
import { policyByName } from '../../../simulator/policies/catalogue.ts'
import { buildShape, buildWorkload } from '../../../simulator/scenario/build.ts'
import { makeProfile } from '../../../simulator/scenario/profiles.ts'
import { parseScenario } from '../../../simulator/scenario/scenario.ts'
import type { Outcome } from '../../../simulator/world/request.ts'
import { Route } from '../../../simulator/world/route.ts'

const PROFILE = makeProfile('qwen3-32b-tp2-h100', 64, {})

interface Facts {
  readonly policy?: string
  readonly world?: object
  readonly workload?: object
  readonly horizonS?: number
}

/** Plays a small world: two regions of two pods unless said otherwise. */
function run(
  { policy = 'isotherm', world = {}, workload = {}, horizonS = 10_000 }: Facts,
  seed = 1,
): Outcome[] {
  const scenario = parseScenario(
    {
      name: 'small',
      title: 'small',
      world: {
        regions: ['us-east', 'eu-central'],
        clusters: ['us-east', 'eu-central'].map((region) => ({
          region,
          endpoints: [{ count: 2, profile: 'qwen3-32b-tp2-h100' }],
        })),
        ...world,
      },
      workload: {
        kind: 'shared-prefix',
        groups: 4,
        usersPerGroup: 2,
        systemTokens: 3000,
        questionTokens: 500,
        outputTokens: 50,
        drainsStages: false,
        stages: [{ ratePerS: 4, seconds: 30 }],
        ...workload,
      },
      policies: [policy],
      horizonS,
    },
    'test',
  )
  const made = buildWorkload(scenario, seed, null)
  const outcomes: Outcome[] = []
  new Route({
    ...made,
    shape: buildShape(scenario),
    policy: policyByName(policy)!,
    seed,
    horizonMs: scenario.horizonS * 1000,
    onOutcome: (outcome) => outcomes.push(outcome),
  }).run()
  expect(outcomes).toHaveLength(made.requests.length)
  return outcomes
}

test('on an idle world a TTFT is round trip and prefill, and the split adds up to it', () => {
  const outcomes = run({
    workload: { groups: 20, arrivals: 'constant', stages: [{ ratePerS: 0.2, seconds: 400 }] },
  })
  for (const { ttftMs, split, gpuTokens } of outcomes) {
    const { rttMs, queueMs, loadMs, prefillMs: ms, handoffMs } = split
    expect(rttMs + queueMs + loadMs + ms + handoffMs).toBeCloseTo(ttftMs, 6)
    expect(queueMs).toBeCloseTo(0)
    expect(ms).toBeCloseTo(prefillMs(PROFILE.prefill, 3500 - gpuTokens, gpuTokens), 6)
    expect([5, 89]).toContain(Math.round(rttMs))
  }
  expect(outcomes.some(({ gpuTokens }) => gpuTokens === 0)).toBe(true)
})

test('warm prompts are found again, and calm callers stay in their region', () => {
  const outcomes = run({ workload: { groups: 1, usersPerGroup: 1 } }).slice(20)
  for (const { gpuTokens } of outcomes) expect(gpuTokens).toBeGreaterThan(3300)
})

test('a hand-off between a prefill and a decode engine is loaded over their link', () => {
  const endpoints = [
    { count: 1, profile: 'qwen3-32b-tp2-h100', role: 'prefill' },
    { count: 1, profile: 'qwen3-32b-tp2-h100', role: 'decode' },
  ]
  const outcomes = run({
    policy: 'least-request',
    world: { regions: ['us-east'], clusters: [{ region: 'us-east', endpoints }] },
    workload: { stages: [{ ratePerS: 0.5, seconds: 60 }] },
  })
  for (const { split, state } of outcomes) {
    expect(state).toBe('served')
    expect(split.handoffMs).toBeGreaterThan(2)
    expect(split.handoffMs).toBeLessThan(100)
  }
})

test('an agent that knows of a longer wait than its edge sends a request on, once, and nobody is lost', () => {
  const outcomes = run({
    workload: { groups: 100, stages: [{ ratePerS: 12, seconds: 30 }] },
  })
  const redirected = outcomes.filter(({ attempts }) => attempts > 1)
  expect(redirected.length).toBeGreaterThan(0)
  for (const { attempts, state, split, ttftMs } of outcomes) {
    expect([state, attempts <= 2]).toEqual(['served', true])
    const { rttMs, queueMs, loadMs, prefillMs: ms, handoffMs } = split
    expect(rttMs + queueMs + loadMs + ms + handoffMs).toBeCloseTo(ttftMs, 6)
  }
  // Both ways were made.
  for (const { split } of redirected) expect(split.rttMs).toBeGreaterThan(89 + 5 - 1)
  const never = run({
    policy: 'sticky+isotherm',
    workload: { groups: 100, stages: [{ ratePerS: 12, seconds: 30 }] },
  })
  expect(never.every(({ attempts }) => attempts === 1)).toBe(true)
})

test('a region that dies breaks what has begun, and every other request is served elsewhere', () => {
  const outcomes = run({
    world: { outages: [{ cluster: 0, fromS: 10, untilS: 20 }] },
    workload: { groups: 200, outputTokens: 400 },
  })
  expect(outcomes.filter(({ state }) => state === 'lost')).toEqual([])
  const broken = outcomes.filter(({ state }) => state === 'broken')
  expect(broken.length).toBeGreaterThan(0)
  for (const { sentMs } of broken) expect(sentMs).toBeLessThan(10_000)
  const during = outcomes.filter(({ sentMs }) => sentMs > 10_100 && sentMs < 20_000)
  for (const { cluster } of during) expect(cluster).toBe(1)
  const after = outcomes.filter(({ sentMs, request }) => sentMs > 29_000 && request.region === 0)
  expect(after.some(({ cluster }) => cluster === 0)).toBe(true)
})

test('what is not served by the horizon counts as lost, with the time that it waited', () => {
  const outcomes = run({
    policy: 'random',
    world: {
      regions: ['us-east'],
      clusters: [{ region: 'us-east', endpoints: [{ count: 1, profile: 'llama-8b-l4' }] }],
    },
    workload: { groups: 500 },
    horizonS: 31,
  })
  const lost = outcomes.filter(({ state }) => state === 'lost')
  expect(lost.length).toBeGreaterThan(20)
  for (const { ttftMs, sentMs } of lost) expect(ttftMs + sentMs).toBeCloseTo(31_000, -3)
})

test('a seed decides a run; policies see the same requests', () => {
  const facts = { workload: { stages: [{ ratePerS: 8, seconds: 20 }] } }
  const digest = (outcomes: Outcome[]) =>
    outcomes.map(({ request, ttftMs, cluster }) => [request.number, ttftMs, cluster])
  expect(digest(run(facts, 3))).toEqual(digest(run(facts, 3)))
  expect(digest(run(facts, 3))).not.toEqual(digest(run(facts, 4)))
  const arrivals = (policy: string) =>
    run({ ...facts, policy }, 3)
      .map(({ request }) => request)
      .toSorted((a, b) => a.number - b.number)
      .map(({ arrivalMs, blocks }) => [arrivalMs, blocks.join()])
  expect(arrivals('random')).toEqual(arrivals('isotherm'))
})

test('every policy serves every request of a world that is not overloaded', () => {
  for (const policy of [
    'sticky+llm-d-precise',
    'strong-sticky+llm-d-precise',
    'skywalker',
    'gorgo(1)',
    'oracle',
  ])
    for (const { state } of run({ policy })) expect(state).toBe('served')
})

test('a prefix is pulled out of a peer where that is quicker than computing it, and what is not there is not', () => {
  const endpoints = (pullsFromPeers: boolean) => [
    { count: 4, profile: 'gpt-oss-120b-h200', overrides: { pullsFromPeers } },
  ]
  const burst = (pullsFromPeers: boolean) =>
    run({
      world: {
        regions: ['us-east'],
        clusters: [{ region: 'us-east', endpoints: endpoints(pullsFromPeers) }],
        delays: { eventsMs: 0 },
      },
      // One prompt, asked faster than one engine answers.
      workload: {
        groups: 1,
        usersPerGroup: 200,
        systemTokens: 32_000,
        questionTokens: 2000,
        stages: [{ ratePerS: 8, seconds: 30 }],
      },
    })
  const pulling = burst(true)
  const pulled = pulling.filter(({ lowerTokens }) => lowerTokens > 0)
  // Only until the other engines hold the prefix themselves.
  expect(pulled.length).toBeGreaterThan(0)
  expect(pulled.length).toBeLessThan(20)
  for (const { lowerTokens, split, gpuTokens } of pulled) {
    expect(gpuTokens + lowerTokens).toBeLessThan(34_000)
    // The law of the transfer, shared by those who pull at once.
    expect(split.loadMs).toBeGreaterThanOrEqual(20.2 + (lowerTokens * 73_728) / 17.42e6 - 1e-6)
  }
  const computing = burst(false)
  expect(computing.every(({ lowerTokens }) => lowerTokens === 0)).toBe(true)
  const waited = (outcomes: readonly Outcome[]) => outcomes.reduce((sum, { ttftMs }) => sum + ttftMs, 0)
  expect(waited(pulling)).toBeLessThan(waited(computing))
})
