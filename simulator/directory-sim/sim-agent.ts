/** A process that speaks for a cluster: what is resident there changes, and every directory is to know. */
import {
  Divisions,
  LAYOUT_INTERVAL_MS,
  LAYOUT_RETRY_MS,
  type MarkerChange,
} from '../../cluster-agent/report/divisions.ts'
import { OutcomeQueue } from '../../cluster-agent/report/outcome-queue.ts'
import type { Outcome } from '../../protocol/outcome.ts'
import { DELTA_INTERVAL_MS, HEARTBEAT_INTERVAL_MS, type ModelLoad } from '../../protocol/report.ts'
import { fillerPrefix, MODEL, type Prefix } from './prompts.ts'
import { SimStream } from './sim-stream.ts'
import type { World } from './world.ts'

export interface SimAgentOptions {
  readonly cluster: string
  readonly incarnation: number
  readonly tokenCluster?: string
  /** Keys beside those of prompts, which only fill maps. */
  readonly fillers?: number
}

/** Changes of one tick at most. */
const CHURN_MAX = 6
const NIBBLES = [1, 2, 9, 10] as const

export class SimAgent {
  readonly cluster: string
  readonly incarnation: number
  readonly isRightful: boolean
  /** Outcomes that it has noted. */
  readonly noted: string[] = []
  readonly #world: World
  readonly #resident = new Map<Prefix, number>()
  readonly #regions: {
    region: string
    outcomes: OutcomeQueue
    divisions: Divisions<SimStream>
    askMs: number
  }[]
  #ticks = 0
  #isAlive = true

  constructor(world: World, options: SimAgentOptions) {
    const { cluster, incarnation, tokenCluster = cluster, fillers = 0 } = options
    this.cluster = cluster
    this.incarnation = incarnation
    this.isRightful = tokenCluster === cluster
    this.#world = world
    for (let i = 0; i < fillers; i++) this.#resident.set(fillerPrefix(world.dice), 1)
    this.#regions = world.regions.map((region) => {
      const outcomes = new OutcomeQueue()
      const divisions: Divisions<SimStream> = new Divisions((layout, shard) => {
        return new SimStream({
          world,
          cluster,
          incarnation,
          tokenCluster,
          object: () => world.object(region, layout, shard),
          hello: () => ({ cluster, region, incarnation, models: [] }),
          snapshot: () => divisions.own(layout, shard, this.#changes()),
          outcomes: shard === 0 ? outcomes : null,
        })
      }, world.faults.shardOfMarker)
      return { region, outcomes, divisions, askMs: 0 }
    })
    this.#tick()
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  get pendingOutcomes(): number {
    return this.#regions.reduce((sum, { outcomes }) => sum + outcomes.pending, 0)
  }

  /** The nibble of a prefix in this cluster. */
  nibble(prefix: Prefix): number {
    return this.#resident.get(prefix) ?? 0
  }

  get streams(): readonly SimStream[] {
    return this.#regions.flatMap(({ divisions }) => divisions.streams)
  }

  /** Says goodbye, then ends. */
  leave(): void {
    for (const stream of this.streams) stream.quiesce()
    this.#isAlive = false
  }

  crash(): void {
    for (const stream of this.streams) stream.die()
    this.#isAlive = false
  }

  note(outcome: Outcome): void {
    this.noted.push(outcome.requestId)
    this.#regions.find(({ region }) => region === outcome.edgeRegion)?.outcomes.note(outcome)
  }

  #tick(): void {
    if (!this.#isAlive) return
    const { clock } = this.#world
    this.#ticks++
    const changes = this.#world.isChurning ? this.#churn() : []
    for (const reports of this.#regions) {
      if (clock.nowMs >= reports.askMs) this.#askLayout(reports)
      for (const stream of reports.divisions.streams) stream.tick()
      for (const stream of reports.divisions.expire(clock.nowMs)) stream.quiesce()
      if (changes.length === 0) continue
      for (const [stream, own] of reports.divisions.share(changes)) if (own.length > 0) stream.push(own)
    }
    if (this.#ticks % (HEARTBEAT_INTERVAL_MS / DELTA_INTERVAL_MS) === 0) {
      for (const stream of this.streams) stream.heartbeat({ loads: [this.#load()], draining: false })
    }
    clock.after(DELTA_INTERVAL_MS, () => this.#tick())
  }

  #askLayout(reports: {
    readonly region: string
    readonly divisions: Divisions<SimStream>
    askMs: number
  }): void {
    const { network, clock } = this.#world
    const { region, divisions } = reports
    reports.askMs = clock.nowMs + LAYOUT_RETRY_MS
    network.call(
      this.cluster,
      region,
      () => this.#world.layout(region),
      (layout) => {
        if (!this.#isAlive || layout === null) return
        const isReached = divisions.current.some(({ state }) => state !== 'connecting')
        if (isReached) reports.askMs = clock.nowMs + LAYOUT_INTERVAL_MS
        for (const stream of divisions.adopt(layout, clock.nowMs)) stream.tick()
      },
    )
  }

  #churn(): MarkerChange[] {
    const { dice, prompts } = this.#world
    const changes = new Map<Prefix, number>()
    for (let i = dice.int(CHURN_MAX); i > 0; i--) {
      const prefix = dice.pick(prompts.prefixes)
      const nibble = dice.chance(0.4) ? 0 : (dice.pick(NIBBLES) ?? 1)
      if (prefix && nibble !== this.nibble(prefix)) changes.set(prefix, nibble)
    }
    for (const [prefix, nibble] of changes) {
      if (nibble === 0) this.#resident.delete(prefix)
      else this.#resident.set(prefix, nibble)
    }
    return Array.from(changes, ([{ lo, hi, origin }, nibble]) => ({ lo, hi, nibble, origin }))
  }

  #changes(): MarkerChange[] {
    return Array.from(this.#resident, ([{ lo, hi, origin }, nibble]) => ({ lo, hi, nibble, origin }))
  }

  #load(): ModelLoad {
    return { model: MODEL, backlogMs: 5, kvPressure: 0, handoffMs: 0, endpoints: 2, bytesPerToken: 4 }
  }
}
