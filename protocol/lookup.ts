/**
 * Edge -> directory, by RPC. The answer names every cluster that the directory has heard of; a cluster without a
 * complete snapshot is `unknown`, which is never read as "holds nothing".
 */
import type { ModelLoad, ModelOffer } from './report.ts'

export interface LookupRequest {
  readonly model: string
  /** u32 triples: offset in bytes, low and high half of the PrefixKey, by rising offset. At most MARKERS_MAX. */
  readonly markers: Uint32Array
}

export type ClusterKnowledge =
  /** No stream, or a snapshot still under way. */
  | { readonly cluster: string; readonly state: 'unknown' }
  | {
      readonly cluster: string
      readonly state: 'known'
      /** Canonical prompt bytes up to the deepest resident marker, 0 when none is resident. */
      readonly matchedBytes: number
      /** The tier number of core/tiers.ts at that marker, 0 when none is resident. */
      readonly tier: number
      /** Time since the last message of the agent reached this directory, in milliseconds. */
      readonly ageMs: number
      readonly draining: boolean
      /** null when the cluster does not serve the model. */
      readonly offer: ModelOffer | null
      readonly load: ModelLoad | null
      /** Time since that load was heard, in milliseconds. */
      readonly loadAgeMs: number
    }

export interface LookupAnswer {
  readonly directory: string
  /** Versions of documents elsewhere (policies, say), by the name under which the directory was told of them. */
  readonly versions: Readonly<Record<string, number>>
  readonly clusters: readonly ClusterKnowledge[]
}

/** The most names that have versions. */
export const VERSIONS_MAX = 64

/** What an operator may see: counts and ages, never prompt text. */
export interface DirectoryInspection {
  readonly directory: string
  readonly entries: number
  readonly entriesMax: number
  readonly streams: readonly {
    readonly cluster: string
    readonly state: 'absent' | 'syncing' | 'live'
    readonly epoch: number
    readonly seq: number
    readonly entries: number
    readonly ageMs: number
    readonly resyncs: number
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

/** The RPC surface of the directory object; the Worker knows no more of it. */
export interface DirectoryRpc {
  lookup(request: LookupRequest): Promise<LookupAnswer>
  models(): Promise<DirectoryModels>
  inspect(): Promise<DirectoryInspection>
  /** From now on every answer names `version` under `name`; a version never goes back. */
  noteVersion(name: string, version: number): Promise<void>
}
