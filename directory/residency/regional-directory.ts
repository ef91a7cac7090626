/**
 * The directory of one region without its sockets and its clock: messages of agents in, messages to agents out, lookups
 * answered. A *connection* is one socket of an agent; a cluster has at most one whose stream counts.
 */
import type {
  ClusterKnowledge,
  DirectoryInspection,
  DirectoryModels,
  LookupBatch,
} from '../../protocol/lookup.ts'
import { type Heartbeat, type Hello, type Outcomes, type Quiesce } from '../../protocol/report.ts'
import { decodeReportFrame } from '../../protocol/report-frame.ts'
import { PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST } from '../../protocol/version.ts'
import { UnitWriter, unitsToText, type Units } from '../../protocol/code-units.ts'
import { applyUpdate, beginAnswer, decodeAnswer, unpackAnswers } from '../../protocol/lookup-packing.ts'
import { BookedWork } from './booked-work.ts'
import { ClusterTable, mayTakeOver } from './cluster-table.ts'
import { FailureWatch } from './failure-watch.ts'
import { Freshness } from './freshness.ts'
import { HotRoots } from './hot-roots.ts'
import { inspectDirectory, listModels, type Knowledge } from './knowledge.ts'
import { PathTimes } from './path-times.ts'
import { Readings } from './readings.ts'
import { Rejects } from './rejects.ts'
import { judgeReport } from './report-cursor.ts'
import { ResidencyMap } from './residency-map.ts'
import { parseAgentMessage, type Effect, type Sending } from './sending.ts'
import { STREAM_TABLE } from './stream-state.ts'
import { StreamSteps } from './stream-steps.ts'
import { ToldFacts, type DocumentVersions } from './told-facts.ts'

/** 32 MiB of residency. */
export const RESIDENCY_SLOTS_MAX = 2 ** 21
/** Silence after which what a cluster said is no longer believed, whether or not its socket is open. */
export const SILENCE_MS_MAX = 30_000
/** For how long a cluster whose agent has left is said to be gone. */
export const GONE_MS_MAX = 300_000

/** What decides; a simulation puts faults in their places. */
export const DIRECTORY_PARTS = {
  table: STREAM_TABLE,
  judge: judgeReport,
  decode: decodeReportFrame,
  mayTakeOver,
  newMap: (slotsMax: number) => new ResidencyMap(slotsMax),
  newBookedWork: () => new BookedWork(),
}
export type DirectoryParts = typeof DIRECTORY_PARTS

export class RegionalDirectory {
  readonly #name: string
  readonly #parts: DirectoryParts
  readonly #knowledge: Knowledge
  readonly #rejects = new Rejects()
  readonly #steps: StreamSteps
  readonly #facts: ToldFacts
  readonly #readings: Readings
  readonly #answer = new UnitWriter()

  /** `life` tells this object's facts from those of its earlier lives: a whole number below 2^20. */
  constructor(
    name: string,
    slotsMax: number = RESIDENCY_SLOTS_MAX,
    parts: DirectoryParts = DIRECTORY_PARTS,
    life = 0,
  ) {
    this.#name = name
    this.#parts = parts
    this.#knowledge = {
      clusters: new ClusterTable(),
      map: parts.newMap(slotsMax),
      booked: parts.newBookedWork(),
      paths: new PathTimes(),
      failures: new FailureWatch(),
      freshness: new Freshness(),
      roots: new HotRoots(),
    }
    this.#facts = new ToldFacts(this.#knowledge.clusters, life)
    this.#readings = new Readings(this.#knowledge)
    this.#steps = new StreamSteps(name, parts.table, this.#knowledge, this.#rejects)
  }

  /** A control message of the connection, whose token is that of `cluster`. */
  receiveText(connection: string, cluster: string, text: string, nowMs: number): Effect[] {
    this.#expire(nowMs)
    const message = parseAgentMessage(text)
    if (message === null) return [this.#rejects.refuse(connection, 'malformed')]
    if (message.v < PROTOCOL_VERSION_OLDEST || message.v > PROTOCOL_VERSION) {
      return [this.#rejects.refuseVersion(connection)]
    }
    switch (message.type) {
      case 'hello':
        return this.#receiveHello(connection, cluster, message, nowMs)
      case 'heartbeat':
        return this.#receiveHeartbeat(connection, cluster, message, nowMs)
      case 'quiesce':
        return this.#receiveQuiesce(connection, cluster, message, nowMs)
      case 'outcomes':
        return this.#receiveOutcomes(connection, cluster, message)
    }
  }

  /** A binary frame of the connection. */
  receiveFrame(connection: string, cluster: string, bytes: Uint8Array, nowMs: number): Sending[] {
    this.#expire(nowMs)
    const stream = this.#knowledge.clusters.carriedBy(connection, cluster)
    if (stream === null) return this.#strangerSpoke(connection, cluster, nowMs)
    const decoded = this.#parts.decode(bytes)
    if (!decoded.ok) return this.#steps.step(stream, 'fault', nowMs, { reason: decoded.reason })
    const { frame } = decoded
    // Without a cursor to judge by, the table decides: nothing counts before a hello.
    if (stream.state === 'syncing' || stream.state === 'live') {
      const verdict = this.#parts.judge(stream, frame)
      if (verdict.kind === 'duplicate') return []
      if (verdict.kind === 'resync')
        return this.#steps.step(stream, 'fault', nowMs, { reason: verdict.reason })
      if (frame.kind === 'delta' && !stream.admitChanges(frame.count, nowMs)) {
        const refusal = this.#rejects.refuse(connection, 'flood')
        this.#steps.step(stream, 'silence', nowMs, {})
        return [refusal]
      }
    }
    return this.#steps.step(stream, frame.kind, nowMs, { frame })
  }

  /** The connection is gone. What it said stays believed until `SILENCE_MS_MAX` after its last message. */
  close(connection: string, cluster: string): void {
    const stream = this.#knowledge.clusters.carriedBy(connection, cluster)
    if (stream !== null) stream.connection = null
  }

  /**
   * The answer to each question, as it crosses the wire, beside what the isolate has not been told yet. It is valid until
   * the next call.
   */
  answer(batch: LookupBatch, nowMs: number, documents?: DocumentVersions): Units {
    this.#expire(nowMs)
    this.#learn(batch, nowMs)
    const out = this.#answer.restart()
    const factsVersion = this.#facts.refresh(documents)
    beginAnswer(out, factsVersion, this.#facts.news(batch))
    this.#readings.begin(batch, nowMs)
    for (const { markers } of batch.questions) {
      this.#knowledge.roots.note(markers)
      this.#readings.write(out, markers)
    }
    return out
  }

  /** The same as values, for who was never told anything: for each question, what is known of each cluster. */
  lookup(batch: LookupBatch, nowMs: number): ClusterKnowledge[][] {
    const answer = decodeAnswer(unitsToText(this.answer({ ...batch, known: [] }, nowMs)))
    const facts = new Map(
      answer?.facts.map((update) => [update.model, applyUpdate(update, () => undefined)] as const),
    )
    const models = batch.questions.map(({ model }) => model)
    return (answer && unpackAnswers(models, answer, (model) => facts.get(model) ?? null)) ?? []
  }

  models(nowMs: number): DirectoryModels {
    this.#expire(nowMs)
    return { directory: this.#name, clusters: listModels(this.#knowledge) }
  }

  inspect(nowMs: number): DirectoryInspection {
    this.#expire(nowMs)
    return inspectDirectory(this.#name, this.#knowledge, this.#rejects.counts(), nowMs)
  }

  /** What is held, as it is: for checkers that compare it with the truth. */
  get held(): Pick<Knowledge, 'clusters' | 'map'> {
    return this.#knowledge
  }

  #learn({ isolate, colo, bookings, sightings }: LookupBatch, nowMs: number): void {
    const { booked, paths, failures } = this.#knowledge
    for (const booking of bookings) booked.note(isolate, booking, nowMs)
    for (const { cluster, successes, failures: failed, rttsMs } of sightings) {
      failures.note(cluster, successes, failed, nowMs)
      for (const rttMs of rttsMs) paths.note(colo, cluster, rttMs, nowMs)
    }
  }

  #receiveHello(connection: string, cluster: string, hello: Hello, nowMs: number): Sending[] {
    const { clusters } = this.#knowledge
    if (hello.cluster !== cluster) return [this.#rejects.refuse(connection, 'wrong-cluster')]
    const stream = clusters.open(cluster, nowMs)
    if (stream === null) return [this.#rejects.refuse(connection, 'clusters-full')]
    const sendings: Sending[] = []
    const incumbent = stream.connection
    if (incumbent !== null && incumbent !== connection) {
      if (!this.#parts.mayTakeOver(stream, hello, nowMs))
        return [this.#rejects.refuse(connection, 'superseded')]
      sendings.push(this.#rejects.refuse(incumbent, 'superseded'))
    }
    stream.connection = connection
    return [...sendings, ...this.#steps.step(stream, 'hello', nowMs, { hello })]
  }

  #receiveHeartbeat(connection: string, cluster: string, heartbeat: Heartbeat, nowMs: number): Sending[] {
    const stream = this.#knowledge.clusters.carriedBy(connection, cluster)
    if (stream === null) return this.#strangerSpoke(connection, cluster, nowMs)
    if (stream.state === 'syncing' || stream.state === 'live') {
      if (heartbeat.epoch !== stream.epoch) {
        return this.#steps.step(stream, 'fault', nowMs, { reason: 'epoch-mismatch' })
      }
      // The socket keeps order, so a heartbeat that is ahead of the frames tells that one was lost.
      if (heartbeat.seq > stream.seq)
        return this.#steps.step(stream, 'fault', nowMs, { reason: 'sequence-gap' })
    }
    return this.#steps.step(stream, 'heartbeat', nowMs, { heartbeat })
  }

  /** Only the stream's own last word counts. */
  #receiveQuiesce(connection: string, cluster: string, { epoch }: Quiesce, nowMs: number): Sending[] {
    const stream = this.#knowledge.clusters.carriedBy(connection, cluster)
    return stream?.epoch === epoch ? this.#steps.step(stream, 'quiesce', nowMs, {}) : []
  }

  /** An agent speaks of its own requests only, whatever the state of its stream. */
  #receiveOutcomes(connection: string, cluster: string, { batch, outcomes }: Outcomes): Effect[] {
    const isForeign = outcomes.some((outcome) => outcome.cluster !== cluster)
    if (isForeign) return [this.#rejects.refuse(connection, 'wrong-cluster')]
    return [{ kind: 'deliver', connection, batch, outcomes }]
  }

  /**
   * A connection that is not the cluster's speaks: one that outlived this object's memory is asked to begin anew, one
   * beside a living incumbent has been superseded.
   */
  #strangerSpoke(connection: string, cluster: string, nowMs: number): Sending[] {
    const { clusters } = this.#knowledge
    const incumbent = clusters.get(cluster)
    if (incumbent && incumbent.connection !== null) return [this.#rejects.refuse(connection, 'superseded')]
    const stream = clusters.open(cluster, nowMs)
    if (stream === null) return [this.#rejects.refuse(connection, 'clusters-full')]
    stream.connection = connection
    return this.#steps.step(stream, 'fault', nowMs, { reason: 'unknown-stream' })
  }

  #expire(nowMs: number): void {
    for (const stream of this.#knowledge.clusters.all) {
      const boundMs = stream.state === 'gone' ? GONE_MS_MAX : SILENCE_MS_MAX
      if (stream.state === 'absent' || nowMs - stream.heardMs <= boundMs) continue
      this.#steps.step(stream, 'silence', nowMs, {})
    }
  }
}
