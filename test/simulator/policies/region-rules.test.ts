import { expect, test } from 'vitest'
import { policyByName } from '../../../simulator/policies/catalogue.ts'
import { Gorgo } from '../../../simulator/policies/gorgo.ts'
import { IsothermAgent } from '../../../simulator/policies/isotherm-agent.ts'
import { IsothermEdge } from '../../../simulator/policies/isotherm-edge.ts'
import { LlmdHub } from '../../../simulator/policies/llm-d-hub.ts'
import { OracleRegion } from '../../../simulator/policies/oracle.ts'
import {
  NearestHealthy,
  NearestWithSpill,
  RandomRegion,
  StickyRegion,
} from '../../../simulator/policies/region-rules.ts'
import { Skywalker } from '../../../simulator/policies/skywalker.ts'
import { StickyEndpoint } from '../../../simulator/policies/sticky-endpoint.ts'
import { StrongSticky } from '../../../simulator/policies/strong-sticky.ts'
import { ask, count, FakeWorld } from './fake-world.ts'

const nobodyOpen = () => false
const three = () => new FakeWorld({ clusters: [2, 2, 2] })

/** A heartbeat that says how long the shortest queue of a cluster is. */
function beat(world: FakeWorld, cluster: number, backlogMs: number): void {
  const queues = { first: null, backlogMs, otherBacklogsMs: [backlogMs], decoders: [], kvPressure: 0 }
  world.heartbeats.set(cluster, {
    sentMs: world.now,
    heardMs: world.now,
    queues,
    handoffMs: 0,
    endpoints: 2,
  })
}

test('nearest goes by round trip, and leaves a cluster whose breaker is open', () => {
  const policy = new NearestHealthy(three())
  expect(policy.choose(ask(1, 20, { region: 1 }), 0, nobodyOpen).clusters[0]).toBe(1)
  expect(policy.choose(ask(1, 20, { region: 0 }), 0, (cluster) => cluster === 0).clusters).toEqual([1, 2, 0])
})

test('sticky at both levels spreads the sessions of a region over its endpoints', () => {
  const world = new FakeWorld({ clusters: [4, 4, 4] })
  const region = new StickyRegion(world)
  const inside = new StickyEndpoint(world)
  const homes = Array.from({ length: 1200 }, (_, session) => {
    const request = ask(session)
    const cluster = region.choose(request, 0, nobodyOpen).clusters[0] ?? -1
    return inside.choose(request, cluster)?.prefill ?? -1
  })
  const shares = Object.values(count(homes))
  expect(shares).toHaveLength(12)
  for (const share of shares) expect(share).toBeGreaterThan(50)
})

test('random regions and sticky regions', () => {
  const random = new RandomRegion(three())
  const picks = Array.from({ length: 300 }, (_, i) => random.choose(ask(i), 0, nobodyOpen).clusters[0] ?? -1)
  for (const share of Object.values(count(picks))) expect(share).toBeGreaterThan(60)
  const sticky = new StickyRegion(three())
  const homes = Array.from({ length: 90 }, (_, i) => sticky.choose(ask(i), 0, nobodyOpen).clusters[0])
  expect(Array.from({ length: 90 }, (_, i) => sticky.choose(ask(i), 0, nobodyOpen).clusters[0])).toEqual(
    homes,
  )
  const away = sticky.choose(ask(0), 0, (cluster) => cluster === homes[0]).clusters
  expect(away[0]).not.toBe(homes[0])
})

test('spill leaves the nearest when its queue or its KV passes the bound', () => {
  const world = three()
  const policy = new NearestWithSpill(world)
  expect(policy.choose(ask(1), 0, nobodyOpen).clusters[0]).toBe(0)
  for (const endpoint of [0, 1]) world.readings.set(endpoint, { running: 9, waiting: 0, kvUsage: 0.9 })
  expect(policy.choose(ask(1), 0, nobodyOpen).clusters).toEqual([1, 2, 0])
  for (const endpoint of [0, 1]) world.readings.set(endpoint, { running: 9, waiting: 6, kvUsage: 0.1 })
  expect(policy.choose(ask(1), 0, nobodyOpen).clusters[0]).toBe(1)
})

test("llm-d's hub follows prefixes that it routed and ignores distance", () => {
  const world = three()
  const policy = new LlmdHub(world)
  const request = ask(1)
  policy.sent(request, 0, policy.choose(request, 0, nobodyOpen), 2)
  expect(policy.choose(ask(1), 0, nobodyOpen).clusters[0]).toBe(2)
})

test('strong sticky places the first turn by price and stays for ten minutes', () => {
  const world = three()
  for (const cluster of [0, 1, 2]) beat(world, cluster, cluster === 1 ? 0 : 5000)
  const policy = new StrongSticky(world)
  const first = ask(1)
  const choice = policy.choose(first, 0, nobodyOpen)
  expect(choice?.clusters[0]).toBe(1)
  if (choice) policy.sent(first, 0, choice, 1)
  beat(world, 1, 60_000)
  expect(policy.choose(ask(1), 0, nobodyOpen)?.clusters[0]).toBe(1)
  expect(policy.choose(ask(1), 0, (cluster) => cluster === 1)?.clusters[0]).not.toBe(1)
  world.now = 700_000
  for (const cluster of [0, 1, 2]) beat(world, cluster, cluster === 1 ? 60_000 : 0)
  expect(policy.choose(ask(1), 0, nobodyOpen)?.clusters[0]).toBe(0)
})

test('SkyWalker pushes to free local replicas, then to free peers by a snapshot, else holds', () => {
  const world = three()
  const policy = new Skywalker(world)
  const send = (family: number) => {
    const request = ask(family)
    const choice = policy.choose(request, 0, nobodyOpen)
    if (choice) policy.sent(request, 0, choice)
    return choice
  }
  const local = [send(1), send(2)]
  expect(new Set(local.map((choice) => choice?.endpoint))).toEqual(new Set([0, 1]))
  expect(send(3)?.clusters[0]).toBe(1)
  for (let i = 0; i < 3; i++) {
    world.now += 1500
    send(10 + i)
  }
  world.now += 1500
  expect(send(20)).toBeNull()
  policy.firstToken(ask(1), 0, 0)
  expect(send(21)?.endpoint).toBe(0)
})

test('GORGO weighs distance from its proxy, what is uncached, and w times what is queued', () => {
  const world = three()
  const policy = new Gorgo(world, 1)
  const request = ask(1, 20, { region: 1 })
  const choice = policy.choose(request, 0, nobodyOpen)
  // 80 ms of prefill do not pay for 100 ms of way; the caller of region 1 pays the way to the proxy, twice.
  expect(choice.clusters[0]).toBe(0)
  expect(choice.detourMs).toBeCloseTo(2 * (50 + 2.5 - 50))
  for (let i = 0; i < 2; i++) {
    const other = ask(10 + i, 60)
    policy.sent(other, 0, policy.choose(other, 0, nobodyOpen))
  }
  expect(policy.choose(ask(30, 60), 0, nobodyOpen).clusters[0]).toBe(1)
})

test('Isotherm goes where price is lowest: near and idle, warm over cold, away when home is busy', () => {
  const world = three()
  const policy = new IsothermEdge(world)
  for (const cluster of [0, 1, 2]) beat(world, cluster, 0)
  expect(policy.choose(ask(1), 0, nobodyOpen)?.clusters[0]).toBe(0)
  const long = ask(2, 90)
  world.hold(2, long, 90)
  expect(policy.choose(long, 0, nobodyOpen)?.clusters[0]).toBe(1)
  beat(world, 0, 3000)
  expect(policy.choose(ask(3), 0, nobodyOpen)?.clusters[0]).toBe(1)
})

test('the oracle sees each endpoint of the world', () => {
  const world = three()
  const agent = new IsothermAgent(world)
  const policy = new OracleRegion(world, () => agent)
  const long = ask(2, 90)
  world.hold(4, long, 90)
  expect(policy.choose(long, 0, nobodyOpen).clusters[0]).toBe(2)
  expect(policy.choose(ask(3), 0, nobodyOpen).clusters[0]).toBe(0)
})

test('every policy of the catalogue is found by its name, and no other', () => {
  for (const name of [
    'isotherm',
    'llm-d-precise',
    'sticky+llm-d-precise',
    'gorgo(0.5)',
    'skywalker',
    'oracle',
  ])
    expect(policyByName(name)?.name).toBe(name)
  for (const name of ['isothermal', 'sticky+', 'gorgo(x)', '']) expect(policyByName(name)).toBeNull()
})
