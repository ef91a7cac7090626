/** Everything that a directory knows, and what it says of it to operators and lists of models. */
import { TIERS } from '../../core/tiers.ts'
import type { DirectoryInspection, DirectoryModels } from '../../protocol/lookup.ts'
import type { BookedWork } from './booked-work.ts'
import type { ClusterStream } from './cluster-stream.ts'
import type { ClusterTable } from './cluster-table.ts'
import type { FailureWatch } from './failure-watch.ts'
import type { Freshness } from './freshness.ts'
import type { HotRoots } from './hot-roots.ts'
import type { PathTimes } from './path-times.ts'
import type { ResidencyMap } from './residency-map.ts'

/** Everything that a directory holds in memory. */
export interface Knowledge {
  readonly clusters: ClusterTable
  readonly map: ResidencyMap
  readonly booked: BookedWork
  readonly paths: PathTimes
  readonly failures: FailureWatch
  readonly freshness: Freshness
  readonly roots: HotRoots
}

/** Loads of one cluster that an inspection shows: 16 clusters of 256 models would be megabytes. */
export const LOADS_INSPECTED_MAX = 32

/** A cluster whose snapshot is still under way has already said what it serves. */
export function listModels({ clusters }: Knowledge): DirectoryModels['clusters'] {
  return [...clusters.all]
    .filter(({ state }) => state === 'syncing' || state === 'live')
    .map(({ cluster, loads }) => ({
      cluster,
      models: loads.offers().map(({ model, contextTokensMax }) => ({ model, contextTokensMax })),
    }))
}

export function inspectDirectory(
  directory: string,
  { clusters, map, freshness, roots }: Knowledge,
  rejects: Readonly<Record<string, number>>,
  nowMs: number,
): DirectoryInspection {
  return {
    directory,
    entries: map.size,
    entriesMax: map.entriesMax,
    lookups: roots.lookups,
    freshness: {
      counts: freshness.counts(),
      p50Ms: freshness.quantileMs(0.5),
      p99Ms: freshness.quantileMs(0.99),
    },
    hottestRoots: roots.hottest(),
    rejects,
    streams: Array.from(clusters.all, (stream) => inspectStream(stream, map, nowMs)),
  }
}

function inspectStream(
  stream: ClusterStream,
  map: ResidencyMap,
  nowMs: number,
): DirectoryInspection['streams'][number] {
  const { cluster, column, state, epoch, seq, incarnation, resyncs, loads } = stream
  return {
    cluster,
    state,
    epoch,
    seq,
    incarnation,
    entries: map.columnSize(column),
    tiers: Object.fromEntries(TIERS.map(({ name, number }) => [name, map.tierSize(column, number)])),
    ageMs: stream.ageMs(nowMs),
    resyncs,
    loads: loads.loads().slice(0, LOADS_INSPECTED_MAX),
  }
}
