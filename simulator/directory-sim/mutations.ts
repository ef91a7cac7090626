/**
 * Production code with one fault each: every one breaks an invariant of docs/PROTOCOL.md, and the simulation must notice.
 * Nothing outside the simulation can choose them.
 */
import { ReportStream } from '../../cluster-agent/report/report-stream.ts'
import { STREAM_TABLE as AGENT_TABLE } from '../../cluster-agent/report/stream-state.ts'
import { BookedWork } from '../../directory/residency/booked-work.ts'
import { DIRECTORY_PARTS, type DirectoryParts } from '../../directory/residency/regional-directory.ts'
import { ResidencyMap } from '../../directory/residency/residency-map.ts'
import {
  STREAM_TABLE,
  type StreamEvent,
  type StreamState,
  type Transition,
} from '../../directory/residency/stream-state.ts'
import type { ClusterKnowledge, LookupRequest } from '../../protocol/lookup.ts'
import { agentMessageSchema } from '../../protocol/report.ts'
import { decodeReportFrame, FRAME_HEADER_BYTES } from '../../protocol/report-frame.ts'
import { LookupDesk, type Flight } from '../../worker/memory/lookup-desk.ts'
import type { Message } from './network.ts'
import { NO_FAULTS, type Faults } from './faults.ts'

export interface Mutation {
  readonly name: string
  /** The invariants of which one must be found broken. */
  readonly breaks: readonly string[]
  readonly faults: Faults
}

function withParts(parts: Partial<DirectoryParts>): Faults {
  return { ...NO_FAULTS, parts: { ...DIRECTORY_PARTS, ...parts } }
}

/** The directory's table with one cell changed. */
function withCell(state: StreamState, event: StreamEvent, transition: Transition): Faults {
  return withParts({ table: { ...STREAM_TABLE, [state]: { ...STREAM_TABLE[state], [event]: transition } } })
}

type Clusters = readonly ClusterKnowledge[]

class ForgetfulRiders extends LookupDesk<LookupRequest, Clusters> {
  override land(
    flight: Flight<LookupRequest, Clusters>,
    answers: readonly Clusters[] | null,
    nowMs: number,
  ): void {
    super.land(answers === null ? { ...flight, riders: [] } : flight, answers, nowMs)
  }
}

class ShiftedAnswers extends LookupDesk<LookupRequest, Clusters> {
  override land(
    flight: Flight<LookupRequest, Clusters>,
    answers: readonly Clusters[] | null,
    nowMs: number,
  ): void {
    super.land({ ...flight, riders: flight.riders.toReversed() }, answers, nowMs)
  }
}

class StickyColumns extends ResidencyMap {
  override clearColumn(): void {}
}

class DeafToLosses extends ResidencyMap {
  override set(lo: number, hi: number, column: number, nibble: number): void {
    if (nibble !== 0) super.set(lo, hi, column, nibble)
  }
}

class EndlessBookings extends BookedWork {
  readonly #all: { readonly cluster: string; readonly isolate: number; readonly workMs: number }[] = []
  override note(...[isolate, note, nowMs]: Parameters<BookedWork['note']>): void {
    super.note(isolate, note, nowMs)
    this.#all.push({ cluster: note.cluster, isolate, workMs: note.workMs })
  }
  override booked(cluster: string, _heardMs: number, asking: number): number[] {
    return this.#all.flatMap((booking) =>
      booking.cluster === cluster && booking.isolate !== asking ? [booking.workMs] : [],
    )
  }
}

class OwnBookings extends BookedWork {
  override booked(...[cluster, heardMs, , nowMs]: Parameters<BookedWork['booked']>): readonly number[] {
    return super.booked(cluster, heardMs, -1, nowMs)
  }
}

class DropsWhileSyncing extends ReportStream {
  override push(...[changes, ageMs, nowMs]: Parameters<ReportStream['push']>): void {
    if (this.state !== 'snapshot') super.push(changes, ageMs, nowMs)
  }
}

/** A frame that was cut is completed with zeros. */
function decodeLeniently(bytes: Uint8Array): ReturnType<typeof decodeReportFrame> {
  if (bytes.length < FRAME_HEADER_BYTES) return decodeReportFrame(bytes)
  const count = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(12, true)
  const padded = new Uint8Array(FRAME_HEADER_BYTES + count * 8 + ((count + 1) >> 1))
  padded.set(bytes.subarray(0, padded.length))
  return decodeReportFrame(padded)
}

function claimedCluster(opened: string, message: Message): string {
  if (typeof message !== 'string') return opened
  const parsed = agentMessageSchema.safeParse(JSON.parse(message))
  return parsed.success && parsed.data.type === 'hello' ? parsed.data.cluster : opened
}

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'half a snapshot is taken for all of it',
    breaks: ['I1'],
    faults: withCell('syncing', 'snapshot', { to: 'live', action: 'apply-and-ack' }),
  },
  {
    name: 'a gap in the numbers goes unnoticed',
    breaks: ['I2'],
    faults: withParts({
      judge: (cursor, header) => {
        const verdict = DIRECTORY_PARTS.judge(cursor, header)
        return verdict.kind === 'resync' && verdict.reason === 'sequence-gap' ? { kind: 'apply' } : verdict
      },
    }),
  },
  {
    name: 'a frame that comes twice is applied twice',
    breaks: ['I2'],
    faults: withParts({
      judge: (cursor, header) => {
        const verdict = DIRECTORY_PARTS.judge(cursor, header)
        return verdict.kind === 'duplicate' ? { kind: 'apply' } : verdict
      },
    }),
  },
  {
    name: 'a frame of another epoch is taken',
    breaks: ['I2'],
    faults: withParts({
      judge: (cursor, header) => DIRECTORY_PARTS.judge({ ...cursor, epoch: header.epoch }, header),
    }),
  },
  {
    name: 'a hello forgets nothing',
    breaks: ['I2', 'I3'],
    faults: withParts({ newMap: (slots) => new StickyColumns(slots) }),
  },
  {
    name: 'a cut frame is completed with zeros',
    breaks: ['I2', 'I4'],
    faults: withParts({ decode: decodeLeniently }),
  },
  {
    name: 'a hello is believed whatever token opened the socket',
    breaks: ['I5'],
    faults: { ...NO_FAULTS, tokenCluster: claimedCluster },
  },
  { name: 'any agent takes a cluster over', breaks: ['I6'], faults: withParts({ mayTakeOver: () => true }) },
  {
    name: 'a stranger after an eviction is taken for live',
    breaks: ['I1', 'I7'],
    faults: withCell('absent', 'fault', { to: 'live', action: 'ignore' }),
  },
  {
    name: 'silence is believed for ever',
    breaks: ['I8'],
    faults: withCell('live', 'silence', { to: 'live', action: 'ignore' }),
  },
  {
    name: 'the map keeps what has left',
    breaks: ['I2', 'I3', 'I9'],
    faults: withParts({ newMap: (slots) => new DeafToLosses(slots) }),
  },
  {
    name: 'changes during a snapshot are dropped',
    breaks: ['I2', 'I10'],
    faults: { ...NO_FAULTS, newStream: (input) => new DropsWhileSyncing(input) },
  },
  {
    name: 'a live agent never gives a deaf directory up',
    breaks: ['I10'],
    faults: {
      ...NO_FAULTS,
      agentTable: {
        ...AGENT_TABLE,
        greeting: { ...AGENT_TABLE.greeting, overdue: { to: 'greeting', action: 'none' } },
        snapshot: { ...AGENT_TABLE.snapshot, overdue: { to: 'snapshot', action: 'none' } },
        live: { ...AGENT_TABLE.live, overdue: { to: 'live', action: 'none' } },
      },
    },
  },
  {
    name: 'outcomes are acknowledged before the ledgers have them',
    breaks: ['I21'],
    faults: { ...NO_FAULTS, acknowledgesEarly: true },
  },
  {
    name: 'bookings never expire',
    breaks: ['I22'],
    faults: withParts({ newBookedWork: () => new EndlessBookings() }),
  },
  {
    name: 'an isolate is told of its own bookings',
    breaks: ['I22'],
    faults: withParts({ newBookedWork: () => new OwnBookings() }),
  },
  {
    name: 'objects of two layouts share a name',
    breaks: ['I2', 'I6', 'I10', 'I23'],
    faults: { ...NO_FAULTS, directoryName: (region, _, shard) => `${region}.${shard}` },
  },
  {
    name: 'a marker lies in the shard of its own key',
    breaks: ['I10', 'I23'],
    faults: {
      ...NO_FAULTS,
      shardOfMarker: (layout, _, markers, offsetBytes) => {
        const at = markers.findIndex((word, index) => index % 3 === 0 && word === offsetBytes)
        return (markers[at + 2] ?? 0) % layout.shards
      },
    },
  },
  {
    name: 'riders of a failed call wait for ever',
    breaks: ['I24'],
    faults: { ...NO_FAULTS, newDesk: () => new ForgetfulRiders() },
  },
  {
    name: 'riders get the answers of others',
    breaks: ['I24'],
    faults: { ...NO_FAULTS, newDesk: () => new ShiftedAnswers() },
  },
  {
    name: 'a goodbye is not heard',
    breaks: ['I25'],
    faults: withCell('live', 'quiesce', { to: 'live', action: 'ignore' }),
  },
]
