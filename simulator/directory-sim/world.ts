/** Agents, directories, edges and the network between them, on one virtual clock. */
import type { Outcome } from '../../protocol/outcome.ts'
import type { ClusterKnowledge, LookupRequest } from '../../protocol/lookup.ts'
import { SINGLE_SHARD, type ShardLayout } from '../../protocol/shard-layout.ts'
import type { LookupDesk } from '../../worker/memory/lookup-desk.ts'
import { Checkers } from './checkers.ts'
import { Dice } from './dice.ts'
import type { Faults } from './faults.ts'
import { Network } from './network.ts'
import { growPrompts, MODEL, type Prompts } from './prompts.ts'
import { SimAgent, type SimAgentOptions } from './sim-agent.ts'
import { SimEdge } from './sim-edge.ts'
import { SimObject } from './sim-object.ts'
import { Truth } from './truth.ts'
import { VirtualClock } from './virtual-clock.ts'

export type Desk = Pick<
  LookupDesk<LookupRequest, readonly ClusterKnowledge[]>,
  'mayLead' | 'wait' | 'depart' | 'land' | 'waiting' | 'flying'
>

/** Of so many agents one has a clock that is behind, by the starts of two and a half others. */
const SKEWED_EVERY = 5
const CLOCK_SKEW = 25

/** Small enough that a snapshot with fillers overflows it. */
const SLOTS_MAX = 1024

export class World {
  readonly clock = new VirtualClock()
  readonly dice: Dice
  readonly network: Network
  readonly faults: Faults
  readonly truth = new Truth()
  readonly checkers: Checkers
  readonly prompts: Prompts
  readonly regions = ['west', 'east'] as const
  readonly clusters: readonly string[]
  /** Whether maps overflow, so that directories may hold less than was said. */
  readonly isEvicting: boolean
  readonly agents: SimAgent[] = []
  readonly edges: SimEdge[]
  isChurning = true
  /** While it lasts ledgers fail too. */
  isStormy = true
  readonly #objects = new Map<string, SimObject>()
  readonly #layouts = new Map<string, ShardLayout>()
  #incarnations = 0
  #requests = 0

  constructor(seed: number, faults: Faults) {
    this.dice = new Dice(seed)
    this.faults = faults
    this.network = new Network(this.clock, this.dice)
    this.checkers = new Checkers(this)
    this.prompts = growPrompts(this.dice)
    this.clusters = Array.from({ length: 2 + this.dice.int(2) }, (_, index) => `cluster-${index}`)
    this.isEvicting = this.dice.chance(0.1)
    for (const region of this.regions) this.#layouts.set(region, this.drawLayout())
    this.edges = Array.from({ length: 3 }, (_, index) => {
      const region = this.regions[index % this.regions.length] ?? 'west'
      return new SimEdge(this, index + 1, region, this.layout(region))
    })
  }

  drawLayout(): ShardLayout {
    const shards = 1 + this.dice.int(3)
    if (shards === 1) return SINGLE_SHARD
    return { shards, markerBytes: this.dice.chance(0.3) ? { [MODEL]: 512 } : {} }
  }

  layout(region: string): ShardLayout {
    return this.#layouts.get(region) ?? SINGLE_SHARD
  }

  divide(region: string, layout: ShardLayout): void {
    this.#layouts.set(region, layout)
  }

  get objects(): readonly SimObject[] {
    return [...this.#objects.values()]
  }

  object(region: string, layout: ShardLayout, shard: number): SimObject {
    const name = this.faults.directoryName(region, layout, shard)
    const known = this.#objects.get(name)
    if (known) return known
    const object = new SimObject(this, region, name, SLOTS_MAX)
    this.#objects.set(name, object)
    return object
  }

  /** A process begins to speak for the cluster. Every fifth has a clock that makes it look older than some before it. */
  startAgent(options: Omit<SimAgentOptions, 'incarnation' | 'fillers'>): SimAgent {
    const started = ++this.#incarnations
    const incarnation = started * 10 - (started % SKEWED_EVERY === 0 ? CLOCK_SKEW : 0)
    const agent = new SimAgent(this, { ...options, incarnation, fillers: this.isEvicting ? 1100 : 0 })
    this.agents.push(agent)
    return agent
  }

  /** The agent that should speak for the cluster: the newest that lives. */
  speaker(cluster: string): SimAgent | null {
    const living = this.agents.filter(
      (agent) => agent.isAlive && agent.isRightful && agent.cluster === cluster,
    )
    return living.toSorted((a, b) => b.incarnation - a.incarnation)[0] ?? null
  }

  newOutcome(agent: SimAgent): Outcome {
    return {
      requestId: `request-${this.#requests++}`,
      attempt: 1,
      tenant: 'tenant',
      model: MODEL,
      edgeRegion: this.dice.pick(this.regions) ?? 'west',
      cluster: agent.cluster,
      end: 'complete',
      status: 200,
      promptTokens: 10,
      cachedTokens: 0,
      outputTokens: 1,
      matchedTokens: 0,
      ttftMs: 1,
      predictedTtftMs: 1,
      durationMs: 2,
      prefillEndpoint: null,
      decodeEndpoint: null,
      endedMs: 0,
    }
  }
}
