/** Performs what the table of a report stream says: the event moves the stream, the action changes what is known. */
import { HEARD_EVERY_BEATS, type Heartbeat, type Hello } from '../../protocol/report.ts'
import type { ReportFrame } from '../../protocol/report-frame.ts'
import { PROTOCOL_VERSION } from '../../protocol/version.ts'
import type { ClusterStream } from './cluster-stream.ts'
import type { Knowledge } from './knowledge.ts'
import type { Rejects } from './rejects.ts'
import { send, type ResyncReason, type Sending } from './sending.ts'
import type { StreamEvent, StreamTable } from './stream-state.ts'

/** A connection that ignores a resync is asked again after this long. */
export const RESYNC_REPEAT_MS = 5000
/** Slots that are tidied up with each message of an agent. */
const SWEEP_SLOTS = 4096

/** What the event brings along. */
export interface StepInput {
  readonly frame?: ReportFrame
  readonly hello?: Hello
  readonly heartbeat?: Heartbeat
  readonly reason?: ResyncReason
}

export class StreamSteps {
  readonly #name: string
  readonly #table: StreamTable
  readonly #knowledge: Pick<Knowledge, 'map' | 'freshness'>
  readonly #rejects: Rejects

  constructor(
    name: string,
    table: StreamTable,
    knowledge: Pick<Knowledge, 'map' | 'freshness'>,
    rejects: Rejects,
  ) {
    this.#name = name
    this.#table = table
    this.#knowledge = knowledge
    this.#rejects = rejects
  }

  step(stream: ClusterStream, event: StreamEvent, nowMs: number, input: StepInput): Sending[] {
    const { to, action, reason } = this.#table[stream.state][event]
    const { map } = this.#knowledge
    stream.state = to
    map.sweep(SWEEP_SLOTS)
    switch (action) {
      case 'begin':
        return input.hello ? this.#begin(stream, input.hello, nowMs) : []
      case 'apply':
        if (input.frame) this.#apply(stream, input.frame, nowMs)
        return []
      case 'apply-and-ack':
        if (input.frame) this.#apply(stream, input.frame, nowMs)
        return answer(stream, { type: 'ack', epoch: stream.epoch, seq: stream.seq })
      case 'take-load':
        return input.heartbeat ? takeLoad(stream, input.heartbeat, nowMs) : []
      case 'ask-resync':
        map.clearColumn(stream.column)
        return this.#askResync(stream, reason ?? input.reason ?? 'unknown-stream', nowMs)
      case 'forget':
        map.clearColumn(stream.column)
        return []
      case 'ignore':
        return []
    }
  }

  #begin(stream: ClusterStream, hello: Hello, nowMs: number): Sending[] {
    this.#knowledge.map.clearColumn(stream.column)
    stream.begin(hello)
    stream.heardMs = nowMs
    return answer(stream, {
      type: 'welcome',
      epoch: stream.epoch,
      directory: this.#name,
      v: PROTOCOL_VERSION,
    })
  }

  #apply(stream: ClusterStream, frame: ReportFrame, nowMs: number): void {
    const { map, freshness } = this.#knowledge
    const { keysLo, keysHi, nibbles, count, kind, ageMs } = frame
    for (let i = 0; i < count; i++) {
      map.set(keysLo[i] as number, keysHi[i] as number, stream.column, nibbles[i] as number)
    }
    stream.seq = frame.seq
    stream.heardMs = nowMs
    if (kind === 'delta' && ageMs > 0) freshness.note(ageMs + stream.loads.transitMs, count)
  }

  #askResync(stream: ClusterStream, reason: ResyncReason, nowMs: number): Sending[] {
    const { connection } = stream
    if (connection === null || !stream.mayAskResync(connection, nowMs, RESYNC_REPEAT_MS)) return []
    return [this.#rejects.askResync(connection, reason)]
  }
}

function takeLoad(stream: ClusterStream, heartbeat: Heartbeat, nowMs: number): Sending[] {
  if (!stream.loads.takeHeartbeat(heartbeat, nowMs)) return []
  stream.heardMs = nowMs
  const { beat } = heartbeat
  if (beat === undefined || beat % HEARD_EVERY_BEATS !== 0) return []
  return answer(stream, { type: 'heard', epoch: stream.epoch, beat })
}

function answer({ connection }: ClusterStream, message: Sending['message']): Sending[] {
  return connection === null ? [] : [send(connection, message)]
}
