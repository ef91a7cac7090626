/**
 * An isolate of the edge: the production desk, notes and sightings. Its requests ask as `worker/directory-client.ts` does,
 * with callbacks in the place of promises, and each minds its bound of 15 ms.
 */
import { shardOfPrompt } from '../../core/shards.ts'
import type { ClusterKnowledge, LookupRequest } from '../../protocol/lookup.ts'
import type { ShardLayout } from '../../protocol/shard-layout.ts'
import { BookingNotes } from '../../worker/memory/booking-notes.ts'
import type { Turn } from '../../worker/memory/lookup-desk.ts'
import { Sightings } from '../../worker/memory/sightings.ts'
import { MODEL } from './prompts.ts'
import type { SimObject } from './sim-object.ts'
import type { Desk, World } from './world.ts'

export const LOOKUP_MS_MAX = 15
const RTT_MS = 20

type Clusters = readonly ClusterKnowledge[]

export interface Asked {
  readonly object: SimObject
  readonly question: LookupRequest
  /** null: nothing came in time. */
  readonly clusters: Clusters | null
}

export class SimEdge {
  readonly isolate: number
  readonly region: string
  /** What its configuration says; a rollout reaches isolates one after another. */
  layout: ShardLayout
  readonly #world: World
  readonly #desks = new Map<string, Desk>()
  readonly #notes = new BookingNotes()
  readonly #sightings = new Sightings()
  readonly #unanswered = new Set<LookupRequest>()

  constructor(world: World, isolate: number, region: string, layout: ShardLayout) {
    this.#world = world
    this.isolate = isolate
    this.region = region
    this.layout = layout
  }

  get waiting(): number {
    return [...this.#desks.values()].reduce((sum, desk) => sum + desk.waiting, 0)
  }

  book(cluster: string, workMs: number, markers: Uint32Array): void {
    const { clock, checkers } = this.#world
    this.#notes.note(cluster, workMs, markers, clock.nowMs)
    checkers.noteBooking(this.isolate, cluster)
  }

  /** One request asks; `done` is called once, at the latest after its bound. */
  ask(markers: Uint32Array, done: (asked: Asked) => void): void {
    const { clock } = this.#world
    const question = { model: MODEL, markers }
    const object = this.#world.object(this.region, this.layout, shardOfPrompt(this.layout, MODEL, markers))
    let isDone = false
    this.#unanswered.add(question)
    const finish = (clusters: Clusters | null) => {
      if (isDone) return
      isDone = true
      this.#unanswered.delete(question)
      done({ object, question, clusters })
    }
    clock.after(LOOKUP_MS_MAX, () => finish(null))
    const desk = this.#desk(object.name)
    const turn = (given: Turn<Clusters>) => {
      // A request that is over does not lead any more: its isolate has forgotten it.
      if (given.kind === 'lead' && !isDone) this.#fly(desk, object, question, finish)
      else if (given.kind === 'answer') finish(given.answer)
    }
    if (desk.mayLead(clock.nowMs)) this.#fly(desk, object, question, finish)
    else desk.wait(question, turn)
  }

  #fly(
    desk: Desk,
    object: SimObject,
    question: LookupRequest,
    finish: (clusters: Clusters | null) => void,
  ): void {
    const { clock, network, checkers } = this.#world
    const flight = desk.depart(question, clock.nowMs)
    const batch = {
      isolate: this.isolate,
      colo: this.region,
      questions: flight.questions,
      bookings: this.#notes.take(object.name, () => RTT_MS, clock.nowMs),
      sightings: this.#sightings.take(this.region, []),
      known: [],
    }
    network.call(
      `edge ${this.isolate}`,
      object.region,
      () => object.lookup(batch),
      (answers) => {
        desk.land(flight, answers, clock.nowMs)
        finish(answers?.[0] ?? null)
        checkers.afterLanding(flight.questions.filter((asked) => this.#unanswered.has(asked)).length)
      },
    )
  }

  #desk(object: string): Desk {
    const known = this.#desks.get(object)
    if (known) return known
    const desk = this.#world.faults.newDesk()
    this.#desks.set(object, desk)
    return desk
  }
}
