/** What a simulated world consists of: regions, clusters, endpoints, delays. Times are milliseconds. */
import type { EngineProfile } from '../engine/profile.ts'
import type { Role } from '../../cluster-agent/routing/endpoint.ts'

export interface ClusterShape {
  readonly name: string
  /** Index of its region. */
  readonly region: number
  readonly endpoints: readonly { readonly role: Role; readonly profile: EngineProfile }[]
}

export interface Delays {
  /** Engine event to the cluster's own index. */
  readonly eventsMs: number
  /** A report to a directory, beside the way there. */
  readonly reportMs: number
  /** Changes are reported together so often. */
  readonly batchMs: number
  readonly heartbeatMs: number
  /** How often a router without bookings reads the engines' metrics. */
  readonly pollMs: number
  /** Share of changes that a view never hears of: what repair has not mended. */
  readonly lossShare: number
}

export interface Outage {
  readonly cluster: number
  readonly fromMs: number
  readonly untilMs: number
}

export interface WorldShape {
  readonly regions: readonly string[]
  /** Round trip between regions; a region's own on the diagonal. */
  readonly rttMs: readonly (readonly number[])[]
  readonly clusters: readonly ClusterShape[]
  readonly kvBytesPerToken: number
  readonly delays: Delays
  /** Isolates of an edge in each region: each has bookings and breakers of its own. */
  readonly isolates: number
  readonly outages: readonly Outage[]
  /** Adapters that an engine holds, and what another one takes to come. */
  readonly adapters: { readonly slots: number; readonly loadMs: number }
  /** Loads from tiers behind DRAM that stall, and for how long. */
  readonly stalls: { readonly share: number; readonly ms: number }
}
