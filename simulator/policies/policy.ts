/**
 * How a rule of choosing looks to the simulated world. A region policy picks clusters, an endpoint policy the engines of
 * one cluster. Choosing changes nothing; what was then sent, heard and finished is told afterwards.
 */
import type { ClusterQueues } from '../../cluster-agent/routing/cluster-queues.ts'
import type { Random } from '../world/random.ts'
import type { SimRequest } from '../world/request.ts'
import type { ResidencyView } from '../world/residency.ts'
import type { WorldShape } from '../world/shape.ts'

/** What a router can read of an engine's metrics. */
export interface EngineReading {
  readonly running: number
  readonly waiting: number
  /** 0 to 1. */
  readonly kvUsage: number
}

/** Engines of one cluster for one request, by number in the world. */
export interface Placement {
  readonly prefill: number
  readonly decode: number
  /** Milliseconds to the first token from here on, or null when the policy does not predict. */
  readonly predictedMs: number | null
  /** Work that the policy books on the prefill engine. */
  readonly workMs: number
  /** A peer whose DRAM holds so many leading tokens of the prompt, which are pulled from there. */
  readonly pull?: { readonly source: number; readonly tokens: number } | null
}

export interface RegionChoice {
  /** Clusters in the order in which they are tried. */
  readonly clusters: readonly number[]
  /** An engine that the region policy itself picked. */
  readonly endpoint: number | null
  /** Extra way before the request sets out, one way in ms: a central proxy. */
  readonly detourMs: number
  /** Load and prefill that the policy expects at each of `clusters`. */
  readonly worksMs: readonly number[]
  /** Predicted TTFT at the edge, or null. */
  readonly predictedMs: number | null
  /** What the first cluster may predict from the arrival there on before it sends the request on; null: whatever it does. */
  readonly elsewhereMs?: number | null
}

/** What a policy may look at. */
export interface PolicyWorld {
  readonly shape: WorldShape
  readonly random: Random
  /** Numbers of a cluster's endpoints. */
  readonly endpointsOf: readonly (readonly number[])[]
  readonly clusterOf: readonly number[]
  readonly blockTokens: number
  nowMs(): number
  /** Residency as a cluster's own index knows it. */
  readonly clusterView: ResidencyView
  /** Residency as the directory of region r knows it. */
  regionView(region: number): ResidencyView
  /** Residency at this instant: for oracles only. */
  readonly trueView: ResidencyView
  /** The engine as read at the last poll, plus `delayMs`. */
  reading(endpoint: number): EngineReading
  /** The engine at this instant: for oracles only. */
  trueReading(endpoint: number): EngineReading
  /** Whether the endpoint takes requests, as a cluster's health checks know it. */
  isHealthy(endpoint: number): boolean
  /** Queues of a cluster as a region heard of them last, or null. */
  heartbeat(cluster: number, region: number): Heartbeat | null
}

export interface Heartbeat {
  readonly sentMs: number
  readonly heardMs: number
  readonly queues: ClusterQueues
  readonly handoffMs: number
  readonly endpoints: number
}

export interface EndpointPolicy {
  /** Null: nothing takes the request now; it is held and asked for again when something ends. */
  /** `elsewhereMs`: a request that is predicted to take longer is sent on, and nobody holds it before. */
  choose(request: SimRequest, cluster: number, elsewhereMs?: number): Placement | null
  sent?(request: SimRequest, placement: Placement): void
  firstToken?(request: SimRequest, placement: Placement): void
  finished?(request: SimRequest, placement: Placement): void
  /** What a cluster tells the directories. */
  heartbeat?(cluster: number): Omit<Heartbeat, 'heardMs'>
}

export interface RegionPolicy {
  /** Null: held at the edge and asked for again when something ends. */
  choose(request: SimRequest, isolate: number, isOpen: (cluster: number) => boolean): RegionChoice | null
  sent?(request: SimRequest, isolate: number, choice: RegionChoice, cluster: number): void
  firstToken?(request: SimRequest, cluster: number, endpoint: number): void
  finished?(request: SimRequest, cluster: number, endpoint: number): void
  /** The edge hears that the cluster has sent the request on. */
  redirected?(request: SimRequest, isolate: number, cluster: number): void
}

export interface Policy {
  readonly name: string
  region(world: PolicyWorld): RegionPolicy
  endpoint(world: PolicyWorld): EndpointPolicy
}
