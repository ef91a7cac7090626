/** The directory's answers, made from what it knows. A cluster that is not live is `unknown`. */
import { NIBBLE_COPIES, NIBBLE_TIER_MASK, TIERS } from '../../core/tiers.ts'
import type { UnitWriter } from '../../protocol/code-units.ts'
import { writeReading, type Reading } from '../../protocol/lookup-packing.ts'
import type {
  DirectoryInspection,
  DirectoryModels,
  LookupBatch,
  LookupRequest,
} from '../../protocol/lookup.ts'
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

/** Used again with each cluster of each answer. */
const READING: Reading = {
  matchedBytes: 0,
  tier: 0,
  hasCopies: false,
  ageMs: 0,
  loadAgeMs: 0,
  isFailing: false,
  speculativeBytes: null,
  rttMs: null,
  othersBookedMs: [],
}

/** Writes what is known of each live cluster, in the order of all. */
export function writeReadings(
  out: UnitWriter,
  knowledge: Knowledge,
  { markers }: LookupRequest,
  { isolate, colo }: Pick<LookupBatch, 'isolate' | 'colo'>,
  nowMs: number,
): void {
  const { clusters, map, booked, paths, failures } = knowledge
  const match = map.match(markers)
  const speculativeBytes = booked.speculativeBytes(markers, isolate, nowMs)
  for (const { cluster, column, state, loads, heardMs } of clusters.all) {
    if (state !== 'live') continue
    const nibble = match.nibbles[column] ?? 0
    READING.matchedBytes = match.offsetBytes[column] ?? 0
    READING.tier = nibble & NIBBLE_TIER_MASK
    READING.hasCopies = (nibble & NIBBLE_COPIES) !== 0
    READING.ageMs = Math.max(0, nowMs - heardMs)
    READING.loadAgeMs = loads.ageMs(nowMs)
    READING.isFailing = failures.isFailing(cluster, nowMs)
    READING.speculativeBytes = speculativeBytes?.get(cluster) ?? null
    READING.rttMs = paths.estimateMs(colo, cluster, nowMs)
    READING.othersBookedMs = booked.booked(cluster, loads.heardMs, isolate, nowMs)
    writeReading(out, READING)
  }
}

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
