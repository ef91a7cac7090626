/** The directory's answers, made from its streams and its map. A cluster that is not live is `unknown`. */
import type { ClusterKnowledge, DirectoryInspection, DirectoryModels } from '../../protocol/lookup.ts'
import type { ClusterStream } from './cluster-stream.ts'
import type { ResidencyMap, ResidencyMatch } from './residency-map.ts'

type Streams = ReadonlyMap<string, ClusterStream>

export function answerLookup(
  streams: Streams,
  match: ResidencyMatch,
  model: string,
  nowMs: number,
): ClusterKnowledge[] {
  return Array.from(streams.values(), (stream): ClusterKnowledge => {
    const { cluster, column, state, loads } = stream
    if (state !== 'live') return { cluster, state: 'unknown' }
    return {
      cluster,
      state: 'known',
      matchedBytes: match.offsetBytes[column] ?? 0,
      tier: match.tiers[column] ?? 0,
      ageMs: ageMs(stream, nowMs),
      draining: loads.draining,
      offer: loads.offer(model),
      load: loads.load(model),
      loadAgeMs: loads.ageMs(nowMs),
    }
  })
}

/** A cluster whose snapshot is still under way has already said what it serves. */
export function listModels(directory: string, streams: Streams): DirectoryModels {
  return {
    directory,
    clusters: [...streams.values()]
      .filter(({ state }) => state !== 'absent')
      .map(({ cluster, loads }) => ({
        cluster,
        models: loads.offers().map(({ model, contextTokensMax }) => ({ model, contextTokensMax })),
      })),
  }
}

export function inspectStreams(
  directory: string,
  streams: Streams,
  map: ResidencyMap,
  nowMs: number,
): DirectoryInspection {
  return {
    directory,
    entries: map.size,
    entriesMax: map.entriesMax,
    streams: Array.from(streams.values(), (stream) => ({
      cluster: stream.cluster,
      state: stream.state,
      epoch: stream.epoch,
      seq: stream.seq,
      entries: map.columnSize(stream.column),
      ageMs: ageMs(stream, nowMs),
      resyncs: stream.resyncs,
      loads: stream.loads.loads(),
    })),
  }
}

function ageMs(stream: ClusterStream, nowMs: number): number {
  return Math.max(0, nowMs - stream.heardMs)
}
