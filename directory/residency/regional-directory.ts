/**
 * The directory of one region without its sockets and its clock: messages of agents in, messages to agents out, lookups
 * answered. A *connection* is one socket of an agent; a cluster has at most one whose stream counts.
 */
import { CLUSTERS_MAX } from '../../protocol/ids.ts'
import type {
  ClusterKnowledge,
  DirectoryInspection,
  DirectoryModels,
  LookupRequest,
} from '../../protocol/lookup.ts'
import type { Heartbeat, Hello, Outcomes } from '../../protocol/report.ts'
import { decodeReportFrame, type ReportFrame } from '../../protocol/report-frame.ts'
import { PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST } from '../../protocol/version.ts'
import { ClusterStream } from './cluster-stream.ts'
import { answerLookup, inspectStreams, listModels } from './knowledge.ts'
import { judgeReport } from './report-cursor.ts'
import { ResidencyMap } from './residency-map.ts'
import { parseAgentMessage, refuse, send, type Effect, type ResyncReason, type Sending } from './sending.ts'
import { STREAM_TABLE, type StreamEvent } from './stream-state.ts'

/** 32 MB of residency. */
export const RESIDENCY_SLOTS_MAX = 2 ** 21
/** Silence after which what a cluster said is no longer believed, whether or not its socket is open. */
export const SILENCE_MS_MAX = 30_000
/** Silence after which an older incarnation may take a cluster over: 25 heartbeats. */
const INCUMBENT_SILENCE_MS_MAX = 5000
/** A connection that ignores a resync is asked again after this long. */
const RESYNC_REPEAT_MS = 5000

export class RegionalDirectory {
  readonly #name: string
  readonly #map: ResidencyMap
  readonly #streams = new Map<string, ClusterStream>()

  constructor(name: string, slotsMax: number = RESIDENCY_SLOTS_MAX) {
    this.#name = name
    this.#map = new ResidencyMap(slotsMax)
  }

  /** A control message of the connection, whose token is that of `cluster`. */
  receiveText(connection: string, cluster: string, text: string, nowMs: number): Effect[] {
    this.#expire(nowMs)
    const message = parseAgentMessage(text)
    if (message === null) return [refuse(connection, 'malformed')]
    if (message.v < PROTOCOL_VERSION_OLDEST || message.v > PROTOCOL_VERSION) {
      const resync = { type: 'resync', reason: 'unsupported-version' } as const
      return [{ kind: 'send', connection, message: resync, closes: true }]
    }
    if (message.type === 'outcomes') return this.#receiveOutcomes(connection, cluster, message)
    return message.type === 'hello'
      ? this.#receiveHello(connection, cluster, message, nowMs)
      : this.#receiveHeartbeat(connection, cluster, message, nowMs)
  }

  /** A binary frame of the connection. */
  receiveFrame(connection: string, cluster: string, bytes: Uint8Array, nowMs: number): Sending[] {
    this.#expire(nowMs)
    const stream = this.#streamOf(connection, cluster)
    if (stream === null) return this.#strangerSpoke(connection, cluster, nowMs)
    stream.heardMs = nowMs
    const decoded = decodeReportFrame(bytes)
    if (!decoded.ok) return this.#step(stream, 'fault', nowMs, { reason: decoded.reason })
    const { frame } = decoded
    // Without a cursor to judge by, the table decides: nothing counts before a hello.
    if (stream.state !== 'absent') {
      const verdict = judgeReport(stream, frame)
      if (verdict.kind === 'duplicate') return []
      if (verdict.kind === 'resync') return this.#step(stream, 'fault', nowMs, { reason: verdict.reason })
    }
    return this.#step(stream, frame.kind, nowMs, { frame })
  }

  /** The connection is gone. What it said stays believed until `SILENCE_MS_MAX` after its last message. */
  close(connection: string, cluster: string): void {
    const stream = this.#streamOf(connection, cluster)
    if (stream !== null) stream.connection = null
  }

  lookup(request: LookupRequest, nowMs: number): ClusterKnowledge[] {
    this.#expire(nowMs)
    const match = this.#map.match(request.markers)
    return answerLookup(this.#streams, match, request.model, nowMs)
  }

  models(nowMs: number): DirectoryModels {
    this.#expire(nowMs)
    return listModels(this.#name, this.#streams)
  }

  inspect(nowMs: number): DirectoryInspection {
    this.#expire(nowMs)
    return inspectStreams(this.#name, this.#streams, this.#map, nowMs)
  }

  #receiveHello(connection: string, cluster: string, hello: Hello, nowMs: number): Sending[] {
    if (hello.cluster !== cluster) return [refuse(connection, 'wrong-cluster')]
    const stream = this.#streams.get(cluster) ?? this.#open(cluster, nowMs)
    if (stream === null) return [refuse(connection, 'clusters-full')]
    const sendings: Sending[] = []
    const incumbent = stream.connection
    if (incumbent !== null && incumbent !== connection) {
      const isFresh = nowMs - stream.heardMs <= INCUMBENT_SILENCE_MS_MAX
      if (isFresh && hello.incarnation < stream.incarnation) return [refuse(connection, 'superseded')]
      sendings.push(refuse(incumbent, 'superseded'))
    }
    stream.connection = connection
    stream.heardMs = nowMs
    return [...sendings, ...this.#step(stream, 'hello', nowMs, { hello })]
  }

  #receiveHeartbeat(connection: string, cluster: string, heartbeat: Heartbeat, nowMs: number): Sending[] {
    const stream = this.#streamOf(connection, cluster)
    if (stream === null) return this.#strangerSpoke(connection, cluster, nowMs)
    stream.heardMs = nowMs
    if (stream.state !== 'absent' && heartbeat.epoch !== stream.epoch) {
      return this.#step(stream, 'fault', nowMs, { reason: 'epoch-mismatch' })
    }
    // The socket keeps order, so a heartbeat that is ahead of the frames tells that one was lost.
    if (stream.state !== 'absent' && heartbeat.seq > stream.seq) {
      return this.#step(stream, 'fault', nowMs, { reason: 'sequence-gap' })
    }
    return this.#step(stream, 'heartbeat', nowMs, { heartbeat })
  }

  /** An agent speaks of its own requests only, whatever the state of its stream. */
  #receiveOutcomes(connection: string, cluster: string, { batch, outcomes }: Outcomes): Effect[] {
    if (outcomes.some((outcome) => outcome.cluster !== cluster)) return [refuse(connection, 'wrong-cluster')]
    return [{ kind: 'deliver', connection, batch, outcomes }]
  }

  /**
   * A connection that is not the cluster's speaks: one that outlived this object's memory is asked to begin anew, one
   * beside a living incumbent has been superseded.
   */
  #strangerSpoke(connection: string, cluster: string, nowMs: number): Sending[] {
    const incumbent = this.#streams.get(cluster)
    if (incumbent && incumbent.connection !== null) return [refuse(connection, 'superseded')]
    const stream = incumbent ?? this.#open(cluster, nowMs)
    if (stream === null) return [refuse(connection, 'clusters-full')]
    stream.connection = connection
    return this.#step(stream, 'fault', nowMs, { reason: 'unknown-stream' })
  }

  #step(
    stream: ClusterStream,
    event: StreamEvent,
    nowMs: number,
    input: { frame?: ReportFrame; hello?: Hello; heartbeat?: Heartbeat; reason?: ResyncReason },
  ): Sending[] {
    const { to, action, reason } = STREAM_TABLE[stream.state][event]
    const { connection, column } = stream
    stream.state = to
    switch (action) {
      case 'begin':
        if (!input.hello || connection === null) return []
        this.#map.clearColumn(column)
        stream.begin(input.hello)
        return [send(connection, { type: 'welcome', epoch: stream.epoch, directory: this.#name })]
      case 'apply':
      case 'apply-and-ack': {
        if (!input.frame || connection === null) return []
        this.#apply(column, input.frame)
        stream.seq = input.frame.seq
        return action === 'apply'
          ? []
          : [send(connection, { type: 'ack', epoch: stream.epoch, seq: stream.seq })]
      }
      case 'take-load':
        if (input.heartbeat) stream.loads.takeHeartbeat(input.heartbeat, nowMs)
        return []
      case 'ask-resync':
        this.#map.clearColumn(column)
        if (connection === null || !stream.mayAskResync(connection, nowMs, RESYNC_REPEAT_MS)) return []
        return [send(connection, { type: 'resync', reason: reason ?? input.reason ?? 'unknown-stream' })]
      case 'forget':
        this.#map.clearColumn(column)
        return []
      case 'ignore':
        return []
    }
  }

  #apply(column: number, frame: ReportFrame): void {
    for (let i = 0; i < frame.count; i++) {
      this.#map.set(frame.keysLo[i] ?? 0, frame.keysHi[i] ?? 0, column, frame.tiers[i] ?? 0)
    }
  }

  /** The stream of the cluster if `connection` is the one that carries it. */
  #streamOf(connection: string, cluster: string): ClusterStream | null {
    const stream = this.#streams.get(cluster)
    return stream?.connection === connection ? stream : null
  }

  /** null when all columns are taken by clusters that are connected or still believed. */
  #open(cluster: string, nowMs: number): ClusterStream | null {
    const taken = new Set([...this.#streams.values()].map(({ column }) => column))
    let column = 0
    while (taken.has(column)) column++
    if (column >= CLUSTERS_MAX) {
      const gone = [...this.#streams.values()].find((s) => s.state === 'absent' && s.connection === null)
      if (!gone) return null
      this.#streams.delete(gone.cluster)
      column = gone.column
    }
    const stream = new ClusterStream(cluster, column, nowMs)
    this.#streams.set(cluster, stream)
    return stream
  }

  #expire(nowMs: number): void {
    for (const stream of this.#streams.values()) {
      if (stream.state === 'absent' || nowMs - stream.heardMs <= SILENCE_MS_MAX) continue
      this.#step(stream, 'silence', nowMs, {})
    }
  }
}
