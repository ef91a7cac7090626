/** The invariants of docs/PROTOCOL.md, looked at after every step of the world. Each throws `Violation`. */
import { keyNumber, markerKeyNumber } from '../../core/key-number.ts'
import { shardOfMarker, shardOfPrompt } from '../../core/shards.ts'
import { NIBBLE_TIER_MASK } from '../../core/tiers.ts'
import type { ClusterStream } from '../../directory/residency/cluster-stream.ts'
import { SILENCE_MS_MAX } from '../../directory/residency/regional-directory.ts'
import type { ClusterKnowledge, LookupRequest } from '../../protocol/lookup.ts'
import type { Outcome } from '../../protocol/outcome.ts'
import { agentMessageSchema } from '../../protocol/report.ts'
import { TRANSIT_MS_MAX, type Message } from './network.ts'
import { MODEL } from './prompts.ts'
import type { Asked } from './sim-edge.ts'
import type { SimObject } from './sim-object.ts'
import type { Held } from './truth.ts'
import { Violation } from './violation.ts'
import type { World } from './world.ts'

/** A booking is told for two seconds; the call that brings it is under way for a moment too. */
const BOOKING_WINDOW_MS = 2300

export class Checkers {
  readonly #world: World
  readonly #bookings: { readonly isolate: number; readonly cluster: string; readonly atMs: number }[] = []
  readonly #questions = new WeakMap<readonly ClusterKnowledge[], LookupRequest>()
  /** From now on every cluster is spoken for by its newest agent, and every lookup is answered in time. */
  isSettled = false
  steps = 0

  constructor(world: World) {
    this.#world = world
  }

  afterMessage(object: SimObject, message: Message): void {
    this.steps++
    if (typeof message === 'string') this.#noteQuiesce(object, message)
    for (const stream of object.held.clusters.all) this.#checkStream(object, stream)
  }

  afterLookup(
    object: SimObject,
    isolate: number,
    question: LookupRequest,
    clusters: readonly ClusterKnowledge[],
  ): void {
    this.steps++
    this.#questions.set(clusters, question)
    for (const known of clusters) {
      const stream = object.held.clusters.get(known.cluster)
      if (known.state === 'unknown') continue
      if (stream?.state !== 'live') throw new Violation('I1', `${known.cluster} is known without a stream`)
      const truth = this.#world.truth.epoch(stream.epoch)
      const silentMs = this.#world.clock.nowMs - (truth?.lastSentMs ?? 0)
      if (silentMs > SILENCE_MS_MAX + TRANSIT_MS_MAX) {
        throw new Violation('I8', `${known.cluster} has been silent for ${silentMs} ms and is known`)
      }
      const held = truth?.states.get(stream.seq)
      if (held) this.#checkMatch(known, question, held)
      this.#checkBookings(known, isolate)
    }
  }

  beforeAcknowledgement(outcomes: readonly Outcome[], untaken: readonly number[]): void {
    for (const [index, { requestId }] of outcomes.entries()) {
      if (untaken.includes(index) || this.#world.truth.settled.has(requestId)) continue
      throw new Violation('I21', `outcome ${requestId} is acknowledged and no ledger has it`)
    }
  }

  afterAnswer({ question, clusters }: Asked): void {
    this.steps++
    if (clusters === null) {
      if (this.isSettled) throw new Violation('I24', 'a lookup was not answered in time')
      return
    }
    if (this.#questions.get(clusters) !== question)
      throw new Violation('I24', 'the answer is to another question')
  }

  /** A call is over: of those who rode along nobody waits any more. */
  afterLanding(waiting: number): void {
    if (waiting > 0) throw new Violation('I24', `a call is over and ${waiting} of its riders wait`)
  }

  noteBooking(isolate: number, cluster: string): void {
    this.#bookings.push({ isolate, cluster, atMs: this.#world.clock.nowMs })
  }

  /** Why the directories are not yet what the agents are; null when they are. */
  difference(): string | null {
    const { regions } = this.#world
    for (const region of regions) {
      const layout = this.#world.layout(region)
      for (let shard = 0; shard < layout.shards; shard++) {
        const different = this.#objectDifference(this.#world.object(region, layout, shard), shard)
        if (different !== null) return different
      }
    }
    for (const agent of this.#world.agents) {
      if (!agent.isAlive || !agent.isRightful || agent !== this.#world.speaker(agent.cluster)) continue
      if (agent.pendingOutcomes > 0) return `outcomes of ${agent.cluster} wait`
      const lost = agent.noted.find((id) => !this.#world.truth.settled.has(id))
      if (lost !== undefined) return `outcome ${lost} is lost`
    }
    return null
  }

  #objectDifference(object: SimObject, shard: number): string | null {
    const { prompts, clusters } = this.#world
    object.expire()
    const layout = this.#world.layout(object.region)
    for (const cluster of clusters) {
      const agent = this.#world.speaker(cluster)
      const stream = object.held.clusters.get(cluster)
      const where = `${cluster} in ${object.name}`
      if (agent === null) {
        if (stream?.state === 'live') return `${where} is known and has no agent`
        continue
      }
      if (stream?.state !== 'live') return `${where} is ${stream?.state ?? 'not there'}`
      if (stream.incarnation !== agent.incarnation) return `${where} is spoken for by an old agent`
      for (const prefix of prompts.prefixes) {
        const { model, markers, offsetBytes } = prefix.origin
        const home = shardOfMarker(layout, model, markers, offsetBytes)
        const expected = home === null || home === shard ? agent.nibble(prefix) : 0
        const found = object.held.map.get(prefix.lo, prefix.hi, stream.column)
        if (found !== expected && !(this.#world.isEvicting && found === 0))
          return `${where} holds ${found} for ${expected}`
      }
    }
    const strays = prompts.prompts.filter((markers) => shardOfPrompt(layout, MODEL, markers) >= layout.shards)
    return strays.length > 0 ? 'a prompt has no shard' : null
  }

  #noteQuiesce(object: SimObject, text: string): void {
    const parsed = agentMessageSchema.safeParse(JSON.parse(text))
    if (!parsed.success || parsed.data.type !== 'quiesce') return
    const { epoch } = parsed.data
    for (const { cluster, state, epoch: current } of object.held.clusters.all) {
      if (current === epoch && (state === 'live' || state === 'syncing')) {
        throw new Violation('I25', `${cluster} has left and is ${state}`)
      }
    }
  }

  #checkStream(object: SimObject, stream: ClusterStream): void {
    const { cluster, state, epoch, seq } = stream
    const truth = this.#world.truth.epoch(epoch)
    const where = `${cluster} in ${object.name}`
    if (state === 'absent' || state === 'gone') return this.#checkHeld(object, stream, new Map(), 'I3')
    if (truth === null) throw new Violation('I7', `${where} is ${state} without any hello`)
    if (!truth.isRightful) throw new Violation('I5', `${where} is spoken for by an intruder`)
    const speaker = this.isSettled && this.#isCurrent(object) ? this.#world.speaker(cluster) : null
    if (speaker !== null && stream.incarnation !== speaker.incarnation) {
      throw new Violation('I6', `${where} was taken over by an older agent`)
    }
    if (state === 'syncing') {
      for (const { lo, hi } of this.#world.prompts.prefixes) {
        const nibble = object.held.map.get(lo, hi, stream.column)
        if (nibble !== 0 && truth.snapshot?.get(keyNumber(lo, hi)) !== nibble) {
          throw new Violation('I3', `${where} still holds what was before its hello`)
        }
      }
      return
    }
    const held = truth.states.get(seq)
    if (!held) throw new Violation('I1', `${where} is live at ${seq} without a complete snapshot`)
    this.#checkHeld(object, stream, held, 'I2')
  }

  /** Objects of old layouts are told by those agents only that knew the layout. */
  #isCurrent({ region, name }: SimObject): boolean {
    const layout = this.#world.layout(region)
    return Array.from(
      { length: layout.shards },
      (_, shard) => this.#world.object(region, layout, shard).name,
    ).includes(name)
  }

  #checkHeld(object: SimObject, { cluster, column }: ClusterStream, held: Held, invariant: string): void {
    for (const { lo, hi } of this.#world.prompts.prefixes) {
      const found = object.held.map.get(lo, hi, column)
      const expected = held.get(keyNumber(lo, hi)) ?? 0
      if (found === expected || (this.#world.isEvicting && found === 0)) continue
      throw new Violation(invariant, `${cluster} in ${object.name} holds ${found}, said was ${expected}`)
    }
  }

  #checkMatch(
    known: Extract<ClusterKnowledge, { state: 'known' }>,
    { markers }: LookupRequest,
    held: Held,
  ): void {
    let deepestBytes = 0
    let nibble = 0
    for (let at = 0; at + 2 < markers.length; at += 3) {
      const found = held.get(markerKeyNumber(markers, at)) ?? 0
      if (found === 0) continue
      deepestBytes = markers[at] ?? 0
      nibble = found
    }
    if (known.matchedBytes > deepestBytes || (known.matchedBytes < deepestBytes && !this.#world.isEvicting)) {
      throw new Violation('I2', `${known.cluster} answers ${known.matchedBytes} bytes for ${deepestBytes}`)
    }
    if (known.matchedBytes === deepestBytes && known.tier !== (nibble & NIBBLE_TIER_MASK)) {
      throw new Violation('I2', `${known.cluster} answers tier ${known.tier} for nibble ${nibble}`)
    }
  }

  #checkBookings(
    { cluster, othersBookedMs = [] }: Extract<ClusterKnowledge, { state: 'known' }>,
    asking: number,
  ): void {
    const sinceMs = this.#world.clock.nowMs - BOOKING_WINDOW_MS
    while ((this.#bookings[0]?.atMs ?? Infinity) < sinceMs) this.#bookings.shift()
    const others = this.#bookings.filter(
      (booking) => booking.cluster === cluster && booking.isolate !== asking,
    )
    if (othersBookedMs.length > others.length) {
      throw new Violation(
        'I22',
        `${cluster}: ${othersBookedMs.length} bookings are told, others made ${others.length}`,
      )
    }
  }
}
