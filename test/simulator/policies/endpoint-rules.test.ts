import { expect, test } from 'vitest'
import { AibrixPrefix } from '../../../simulator/policies/aibrix.ts'
import { DynamoRouter } from '../../../simulator/policies/dynamo.ts'
import {
  LLMD_ESTIMATED,
  LLMD_LOAD,
  LLMD_PRECISE,
  LlmdAffinity,
  LlmdPicker,
} from '../../../simulator/policies/llm-d.ts'
import {
  LeastRequest,
  PowerOfTwo,
  RandomEndpoint,
  RoundRobin,
} from '../../../simulator/policies/load-rules.ts'
import { PodMemory } from '../../../simulator/policies/pod-memory.ts'
import { PrebleE2 } from '../../../simulator/policies/preble.ts'
import { SglangCacheAware } from '../../../simulator/policies/sglang.ts'
import { StickyEndpoint } from '../../../simulator/policies/sticky-endpoint.ts'
import { ask, count, FakeWorld, place } from './fake-world.ts'

const many = Array.from({ length: 400 }, (_, i) => i)

test('random spreads evenly, round robin exactly', () => {
  const random = new RandomEndpoint(new FakeWorld())
  const spread = count(many.map((i) => place(random, ask(i))))
  expect(Object.keys(spread)).toHaveLength(4)
  for (const share of Object.values(spread)) expect(share).toBeGreaterThan(60)
  const robin = new RoundRobin(new FakeWorld())
  expect(Array.from({ length: 8 }, (_, i) => place(robin, ask(i)))).toEqual([0, 1, 2, 3, 0, 1, 2, 3])
})

test('least request fills the emptiest, and forgets what has ended', () => {
  const policy = new LeastRequest(new FakeWorld())
  const first = ask(0)
  const at = place(policy, first)
  expect(new Set([at, place(policy, ask(1)), place(policy, ask(2)), place(policy, ask(3))]).size).toBe(4)
  policy.finished(first)
  expect(place(policy, ask(4))).toBe(at)
})

test('power of two never takes the fuller of its two', () => {
  const policy = new PowerOfTwo(new FakeWorld({ clusters: [2] }))
  expect(count(many.map((i) => place(policy, ask(i))))).toEqual({ 0: 200, 1: 200 })
})

test('sticky keeps a session, spreads sessions, and goes to the next endpoint when its own is dead', () => {
  const world = new FakeWorld()
  const policy = new StickyEndpoint(world)
  const homes = many.map((session) => place(policy, ask(session)))
  expect(many.map((session) => place(policy, ask(session)))).toEqual(homes)
  for (const share of Object.values(count(homes))) expect(share).toBeGreaterThan(50)
  world.dead.add(2)
  const moved = many.map((session) => place(policy, ask(session)))
  expect(moved).not.toContain(2)
  for (const i of many) if (homes[i] !== 2) expect(moved[i]).toBe(homes[i])
})

test('pod memory follows the prefix, whatever became of it', () => {
  const policy = new PodMemory(new FakeWorld())
  const at = place(policy, ask(7))
  for (let i = 0; i < 20; i++) place(policy, ask(100 + i))
  expect(place(policy, ask(7))).toBe(at)
})

test("llm-d's estimate counts its own routing; precise counts what events say, less by tier", () => {
  const world = new FakeWorld()
  const estimated = new LlmdPicker(world, LLMD_ESTIMATED, true)
  const at = place(estimated, ask(5))
  expect(place(estimated, ask(5))).toBe(at)

  const precise = new LlmdPicker(world, LLMD_PRECISE, false)
  const request = ask(6)
  world.hold(3, request, 20)
  expect(place(precise, request)).toBe(3)
  const lower = ask(8)
  world.hold(1, lower, 20, 2)
  world.hold(2, lower, 20, 1)
  expect(place(precise, lower)).toBe(2)
})

test("llm-d's weights: 3 x prefix against 2 x queue and 2 x KV", () => {
  const world = new FakeWorld({ clusters: [2] })
  const request = ask(9)
  world.hold(0, request, 20)
  world.readings.set(0, { running: 0, waiting: 5, kvUsage: 0.4 })
  world.readings.set(1, { running: 0, waiting: 0, kvUsage: 0 })
  // 3 x 0.99 + 2 x 0.6 + 2 x 0 = 4.2 against 0 + 2 + 2 = 4.
  const precise = new LlmdPicker(world, LLMD_PRECISE, false)
  expect(place(precise, request)).toBe(0)
  world.readings.set(0, { running: 0, waiting: 5, kvUsage: 0.6 })
  expect(place(precise, request)).toBe(1)
  expect(place(new LlmdPicker(world, LLMD_LOAD, false), request)).toBe(1)
})

test("llm-d's affinity filter keeps to the prefix until the penalty passes 18 s", () => {
  const world = new FakeWorld({ clusters: [2] })
  const policy = new LlmdAffinity(world)
  const request = ask(3)
  world.hold(0, request, 20)
  // 18 s at 15,928 tok/s are 286,704 tokens.
  policy.sent(ask(50), { prefill: 0, decode: 0, predictedMs: null, workMs: 0 })
  expect(place(policy, request)).toBe(0)
  const huge = ask(51, 5000)
  const only = new LlmdAffinity(world)
  world.dead.add(1)
  place(only, huge)
  world.dead.clear()
  expect(place(only, request)).toBe(1)
})

test('SGLang takes the longest match above a third, else the smallest tree, else least load when out of balance', () => {
  const world = new FakeWorld({ clusters: [2] })
  const policy = new SglangCacheAware(world)
  const at = place(policy, ask(1))
  expect(place(policy, ask(1))).toBe(at)
  expect(place(policy, ask(2, 40))).toBe(1 - at)
  // Same prefix until one has 65 more in flight than the other.
  const shared = many.slice(0, 70).map(() => place(policy, ask(1)))
  expect(shared.slice(0, 60).every((pick) => pick === at)).toBe(true)
  expect(shared).toContain(1 - at)
})

test('Dynamo weighs prefill to come and blocks that decode, with credit by tier', () => {
  const world = new FakeWorld({ clusters: [2] })
  const policy = new DynamoRouter(world)
  const warm = ask(4)
  world.hold(1, warm, 20, 2)
  expect(place(policy, warm)).toBe(1)
  // 20 blocks decode there and 5 of them are to be prefilled; the next one costs 20 more at the idle endpoint.
  const again = ask(4)
  expect(place(policy, again)).toBe(0)
})

test('AIBrix follows the match while loads are close, least request when they spread by more than 16', () => {
  const world = new FakeWorld({ clusters: [2] })
  const policy = new AibrixPrefix(world)
  const at = place(policy, ask(1))
  const picks = many.slice(0, 40).map(() => place(policy, ask(1)))
  expect(picks.slice(0, 10).every((pick) => pick === at)).toBe(true)
  const spread = Math.abs((count(picks)[at] ?? 0) + 1 - (count(picks)[1 - at] ?? 0))
  expect(spread).toBeLessThanOrEqual(18)
})

test('Preble exploits a match of more than half, explores by window load, and replicates what overloads', () => {
  const world = new FakeWorld({ clusters: [2] })
  const policy = new PrebleE2(world)
  const at = place(policy, ask(1))
  expect(place(policy, ask(1))).toBe(at)
  expect(place(policy, ask(2))).toBe(1 - at)
  const picks = [...many, ...many].map(() => place(policy, ask(1)))
  expect(picks.slice(0, 100)).not.toContain(1 - at)
  expect(picks).toContain(1 - at)
  world.now = 200_000
  expect([0, 1]).toContain(place(policy, ask(3)))
})
