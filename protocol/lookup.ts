/**
 * Edge -> directory, by RPC. The answer names every cluster that the directory has heard of; a cluster without a
 * complete snapshot is `unknown`, which is never read as "holds nothing".
 */
import { CLUSTERS_MAX } from './ids.ts'
import type { ModelLoad, ModelOffer } from './report.ts'

export interface LookupRequest {
  readonly model: string
  /** u32 triples: offset in bytes, low and high half of the PrefixKey, by rising offset. At most MARKERS_MAX. */
  readonly markers: Uint32Array
}

export type ClusterKnowledge =
  | {
      readonly cluster: string
      /** No stream, or a snapshot still under way. */
      readonly state: 'unknown'
      /** Its agent has said that it leaves for good. */
      readonly hasLeft?: boolean
    }
  | {
      readonly cluster: string
      readonly state: 'known'
      /** Canonical prompt bytes up to the deepest resident marker, 0 when none is resident. */
      readonly matchedBytes: number
      /** The tier number of core/tiers.ts at that marker, 0 when none is resident. */
      readonly tier: number
      /** Whether several endpoints hold it there. */
      readonly copies?: 'one' | 'several'
      /** Time since the last message of the agent reached this directory, in milliseconds. */
      readonly ageMs: number
      readonly draining: boolean
      /** null when the cluster does not serve the model. */
      readonly offer: ModelOffer | null
      readonly load: ModelLoad | null
      /** Time since that load was heard, in milliseconds. */
      readonly loadAgeMs: number
      /** Work in ms of each request that other isolates sent there and that load cannot show yet, oldest first. */
      readonly othersBookedMs?: readonly number[]
      /** Canonical bytes of this prompt that other isolates have just sent there. */
      readonly othersSpeculativeBytes?: number
      /** Round trip from the asking location, as its isolates measured it; absent: too few did. */
      readonly rttMs?: number
      /** Several requests to it failed in a row just now, whoever sent them. */
      readonly isFailing?: boolean
    }

/** A request that an isolate has sent to a cluster since it last asked. */
export interface BookingNote {
  readonly cluster: string
  /** Prefill and load in milliseconds. */
  readonly workMs: number
  /** The prompt's markers, as in `LookupRequest`. */
  readonly markers: Uint32Array
  /** How long ago, and how far away the cluster is. */
  readonly agoMs: number
  readonly rttMs: number
}

/** How a cluster has served an isolate since it last asked. */
export interface Sighting {
  readonly cluster: string
  readonly successes: number
  readonly failures: number
  /** Measured round trips; at most SAMPLES_MAX. */
  readonly rttsMs: readonly number[]
}

export const QUESTIONS_MAX = 32
export const BOOKINGS_MAX = 64
export const SIGHTINGS_MAX = CLUSTERS_MAX
export const SAMPLES_MAX = 8

/** Everything that one isolate asks and tells at once. */
export interface LookupBatch {
  /** 32 random bits for each isolate: it is not told of its own bookings. */
  readonly isolate: number
  /** Where it runs: the platform's name of the location. Empty: unknown. */
  readonly colo: string
  readonly questions: readonly LookupRequest[]
  readonly bookings: readonly BookingNote[]
  readonly sightings: readonly Sighting[]
  /** For each question the version of the facts that the isolate has of its model, which need not be told again; 0: none. */
  readonly known: readonly number[]
}

/** The most names that have versions. */
export const VERSIONS_MAX = 64

/** What an operator may see: counts and ages, never prompt text. */
export interface DirectoryInspection {
  readonly directory: string
  /** Slots in use, and at most. */
  readonly entries: number
  readonly entriesMax: number
  readonly lookups: number
  /** From a block's event in its engine to its residency here: counts by upper bound in ms, and quantiles. */
  readonly freshness: {
    readonly counts: readonly { readonly atMostMs: number | null; readonly changes: number }[]
    readonly p50Ms: number | null
    readonly p99Ms: number | null
  }
  /** PrefixKeys of the first markers that are asked for most, with estimated counts. */
  readonly hottestRoots: readonly { readonly key: string; readonly lookups: number }[]
  /** Refusals and requests for a resync, by reason. */
  readonly rejects: Readonly<Record<string, number>>
  readonly streams: readonly {
    readonly cluster: string
    readonly state: 'absent' | 'syncing' | 'live' | 'gone'
    readonly epoch: number
    readonly seq: number
    readonly incarnation: number
    readonly entries: number
    /** The same by tier name. */
    readonly tiers: Readonly<Record<string, number>>
    readonly ageMs: number
    readonly resyncs: number
    /** Of the first models only. */
    readonly loads: readonly ModelLoad[]
  }[]
}

/** What the known clusters serve, for `GET /v1/models`. */
export interface DirectoryModels {
  readonly directory: string
  readonly clusters: readonly {
    readonly cluster: string
    readonly models: readonly { readonly model: string; readonly contextTokensMax: number }[]
  }[]
}

/** The same on the object's side: what it has at once is as good as a promise, which costs more. */
export type DirectoryMethods = {
  readonly [M in keyof DirectoryRpc]: (
    ...given: Parameters<DirectoryRpc[M]>
  ) => ReturnType<DirectoryRpc[M]> | Awaited<ReturnType<DirectoryRpc[M]>>
}

/** The RPC surface of the directory object; the Worker knows no more of it. */
export interface DirectoryRpc {
  /** A LookupBatch in (lookup-wire.ts), a LookupAnswer out (lookup-packing.ts); empty when there was no lookup in it. */
  lookup(batch: string): Promise<string>
  models(): Promise<DirectoryModels>
  inspect(): Promise<DirectoryInspection>
  /** From now on every answer names `version` under `name`; a version never goes back. False: no name, or no room. */
  noteVersion(name: string, version: number): Promise<boolean>
}
