/** The directory's answers, made from what it knows. A cluster that is not live is `unknown`. */
import { NIBBLE_COPIES, NIBBLE_TIER_MASK, TIERS } from '../../core/tiers.ts'
import type {
  ClusterKnowledge,
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

export function answerLookup(
  knowledge: Knowledge,
  { model, markers }: LookupRequest,
  { isolate, colo }: Pick<LookupBatch, 'isolate' | 'colo'>,
  nowMs: number,
): ClusterKnowledge[] {
  const { clusters, map, booked, paths, failures } = knowledge
  const match = map.match(markers)
  const speculativeBytes = booked.speculativeBytes(markers, isolate, nowMs)
  return Array.from(clusters.all, (stream): ClusterKnowledge => {
    const { cluster, column, state, loads } = stream
    if (state !== 'live') return { cluster, state: 'unknown', ...(state === 'gone' ? { hasLeft: true } : {}) }
    const nibble = match.nibbles[column] ?? 0
    const othersBookedMs = booked.booked(cluster, loads.heardMs, isolate, nowMs)
    const othersSpeculativeBytes = speculativeBytes?.get(cluster)
    const rttMs = paths.estimateMs(colo, cluster, nowMs)
    return {
      cluster,
      state: 'known',
      matchedBytes: match.offsetBytes[column] ?? 0,
      tier: nibble & NIBBLE_TIER_MASK,
      ...((nibble & NIBBLE_COPIES) === 0 ? {} : { copies: 'several' }),
      ageMs: stream.ageMs(nowMs),
      draining: loads.draining,
      offer: loads.offer(model),
      load: loads.load(model),
      loadAgeMs: loads.ageMs(nowMs),
      ...(othersBookedMs.length === 0 ? {} : { othersBookedMs }),
      ...(othersSpeculativeBytes === undefined ? {} : { othersSpeculativeBytes }),
      ...(rttMs === null ? {} : { rttMs }),
      ...(failures.isFailing(cluster, nowMs) ? { isFailing: true } : {}),
    }
  })
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
    loads: loads.loads(),
  }
}
