/** What a world is built from: production code, or production code with a seeded fault (`mutations.ts`). */
import { ReportStream } from '../../cluster-agent/report/report-stream.ts'
import type { StreamInput } from '../../cluster-agent/report/stream-input.ts'
import { STREAM_TABLE, type StreamTable } from '../../cluster-agent/report/stream-state.ts'
import { directoryName, shardOfMarker } from '../../core/shards.ts'
import { DIRECTORY_PARTS, type DirectoryParts } from '../../directory/residency/regional-directory.ts'
import { LookupDesk } from '../../worker/memory/lookup-desk.ts'
import type { Message } from './network.ts'
import type { Desk } from './world.ts'

export interface Faults {
  readonly parts: DirectoryParts
  readonly agentTable: StreamTable
  readonly newStream: (input: StreamInput) => ReportStream
  readonly newDesk: () => Desk
  readonly shardOfMarker: typeof shardOfMarker
  readonly directoryName: typeof directoryName
  /** As which cluster a message counts that came over a socket opened with the token of `opened`. */
  readonly tokenCluster: (opened: string, message: Message) => string
  readonly acknowledgesEarly: boolean
}

export const NO_FAULTS: Faults = {
  parts: DIRECTORY_PARTS,
  agentTable: STREAM_TABLE,
  newStream: (input) => new ReportStream(input),
  newDesk: () => new LookupDesk(),
  shardOfMarker,
  directoryName,
  tokenCluster: (opened) => opened,
  acknowledgesEarly: false,
}
