/** Every policy by name: a region rule and an endpoint rule together. */
import { AibrixPrefix } from './aibrix.ts'
import { DynamoRouter } from './dynamo.ts'
import { Gorgo } from './gorgo.ts'
import { IsothermAgent } from './isotherm-agent.ts'
import { IsothermEdge } from './isotherm-edge.ts'
import { LLMD_ESTIMATED, LLMD_LOAD, LLMD_PRECISE, LlmdAffinity, LlmdPicker } from './llm-d.ts'
import { LlmdHub } from './llm-d-hub.ts'
import { LeastRequest, PowerOfTwo, RandomEndpoint, RoundRobin } from './load-rules.ts'
import { clairvoyant, OracleRegion } from './oracle.ts'
import { PodMemory } from './pod-memory.ts'
import type { EndpointPolicy, Policy, PolicyWorld, RegionPolicy } from './policy.ts'
import { PrebleE2 } from './preble.ts'
import { NearestHealthy, NearestWithSpill, RandomRegion, StickyRegion } from './region-rules.ts'
import { SglangCacheAware } from './sglang.ts'
import { Skywalker } from './skywalker.ts'
import { StickyEndpoint } from './sticky-endpoint.ts'
import { StrongSticky } from './strong-sticky.ts'

type Make<T> = (world: PolicyWorld) => T

export const ENDPOINT_POLICIES: Readonly<Record<string, Make<EndpointPolicy>>> = {
  isotherm: (world) => new IsothermAgent(world),
  random: (world) => new RandomEndpoint(world),
  'round-robin': (world) => new RoundRobin(world),
  'least-request': (world) => new LeastRequest(world),
  'power-of-two': (world) => new PowerOfTwo(world),
  sticky: (world) => new StickyEndpoint(world),
  'pod-memory': (world) => new PodMemory(world),
  sglang: (world) => new SglangCacheAware(world),
  'llm-d-load': (world) => new LlmdPicker(world, LLMD_LOAD, false),
  'llm-d-estimated': (world) => new LlmdPicker(world, LLMD_ESTIMATED, true),
  'llm-d-precise': (world) => new LlmdPicker(world, LLMD_PRECISE, false),
  'llm-d-affinity': (world) => new LlmdAffinity(world),
  dynamo: (world) => new DynamoRouter(world),
  aibrix: (world) => new AibrixPrefix(world),
  preble: (world) => new PrebleE2(world),
}

const REGION_POLICIES: Readonly<Record<string, Make<RegionPolicy>>> = {
  // One cluster leaves an edge nothing to choose.
  isotherm: (world) =>
    world.shape.clusters.length > 1 ? new IsothermEdge(world) : new NearestHealthy(world),
  nearest: (world) => new NearestHealthy(world),
  random: (world) => new RandomRegion(world),
  sticky: (world) => new StickyRegion(world),
  'strong-sticky': (world) => new StrongSticky(world),
  spill: (world) => new NearestWithSpill(world),
  hub: (world) => new LlmdHub(world),
  skywalker: (world) => new Skywalker(world),
}

/** Weights that GORGO's tuning tries. */
export const GORGO_WEIGHTS = [0.25, 0.5, 1, 2] as const

/** A name is `region+endpoint`; one word is both, or an endpoint rule behind the nearest region. */
export function policyByName(name: string): Policy | null {
  if (name === 'oracle') return oracle()
  const gorgo = /^gorgo\(([0-9.]+)\)$/.exec(name)
  if (gorgo) {
    const weight = Number(gorgo[1])
    return { name, region: (world) => new Gorgo(world, weight), endpoint: (world) => new LeastRequest(world) }
  }
  if (name === 'skywalker') {
    return { name, region: (world) => new Skywalker(world), endpoint: (world) => new LeastRequest(world) }
  }
  const [first = '', second] = name.split('+')
  const region = REGION_POLICIES[second === undefined ? (first === 'isotherm' ? first : 'nearest') : first]
  const endpoint = ENDPOINT_POLICIES[second ?? first]
  return region && endpoint ? { name, region, endpoint: withMeter(endpoint, first) } : null
}

export function policyNames(): readonly string[] {
  const regions = Object.keys(REGION_POLICIES).filter((name) => name !== 'skywalker')
  return [
    ...Object.keys(ENDPOINT_POLICIES),
    ...regions.map((name) => `${name}+…`),
    'skywalker',
    'gorgo',
    'gorgo(w)',
    'oracle',
  ]
}

function oracle(): Policy {
  let agent: IsothermAgent | null = null
  const made = (world: PolicyWorld) => (agent ??= new IsothermAgent(clairvoyant(world)))
  return {
    name: 'oracle',
    region: (world) => {
      agent = null
      return new OracleRegion(world, () => made(world))
    },
    endpoint: made,
  }
}

/** Strong sticky places by queues, which need a cluster that tells them, whatever rule chooses inside. */
function withMeter(make: Make<EndpointPolicy>, region: string): Make<EndpointPolicy> {
  if (region !== 'strong-sticky') return make
  return (world) => {
    const policy = make(world)
    if (policy.heartbeat) return policy
    const meter = new IsothermAgent(world)
    return {
      choose: (request, cluster) => policy.choose(request, cluster),
      sent: (request, placement) => {
        policy.sent?.(request, placement)
        meter.meter(request, placement)
      },
      firstToken: (request, placement) => {
        policy.firstToken?.(request, placement)
        meter.firstToken(request, placement)
      },
      finished: (request, placement) => {
        policy.finished?.(request, placement)
        meter.finished(request, placement)
      },
      heartbeat: (cluster) => meter.heartbeat(cluster),
    }
  }
}
