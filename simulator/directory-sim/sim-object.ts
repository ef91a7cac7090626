/**
 * A Durable Object of the world: the production directory inside, and around it what the platform does to objects. Evicted,
 * it forgets and its sockets live on; updated, its sockets close too.
 */
import { boundBatch } from '../../directory/residency/bound-batch.ts'
import { RegionalDirectory } from '../../directory/residency/regional-directory.ts'
import type { Delivery } from '../../directory/residency/sending.ts'
import type { ClusterKnowledge, LookupBatch } from '../../protocol/lookup.ts'
import type { Faults } from './faults.ts'
import type { Message } from './network.ts'
import type { World } from './world.ts'

interface Socket {
  /** The cluster whose token opened it. */
  readonly cluster: string
  readonly send: (message: Message) => void
  readonly close: () => void
}

/** What a ledger of the world does with a batch, and how often it fails while the storm lasts. */
const LEDGER_MS = 30
const LEDGER_FAILS = 0.2

export class SimObject {
  readonly name: string
  readonly region: string
  readonly #world: World
  readonly #faults: Faults
  readonly #slotsMax: number
  readonly #sockets = new Map<string, Socket>()
  #directory: RegionalDirectory
  #accepted = 0

  constructor(world: World, region: string, name: string, slotsMax: number) {
    this.name = name
    this.region = region
    this.#world = world
    this.#faults = world.faults
    this.#slotsMax = slotsMax
    this.#directory = this.#awake()
  }

  get held(): RegionalDirectory['held'] {
    return this.#directory.held
  }

  /** Gives the name of the connection. */
  accept(socket: Socket): string {
    const connection = `${this.name}#${this.#accepted++}`
    this.#sockets.set(connection, socket)
    return connection
  }

  receive(connection: string, message: Message): void {
    const socket = this.#sockets.get(connection)
    if (!socket) return
    const { nowMs } = this.#world.clock
    const cluster = this.#faults.tokenCluster(socket.cluster, message)
    const effects =
      typeof message === 'string'
        ? this.#directory.receiveText(connection, cluster, message, nowMs)
        : this.#directory.receiveFrame(connection, cluster, message, nowMs)
    for (const effect of effects) {
      if (effect.kind === 'deliver') this.#deliver(effect)
      else {
        const to = this.#sockets.get(effect.connection)
        to?.send(JSON.stringify(effect.message))
        if (effect.closes) this.#close(effect.connection)
      }
    }
    this.#world.checkers.afterMessage(this, message)
  }

  /** The far side is gone, or the platform has noticed that it is. */
  disconnected(connection: string): void {
    const socket = this.#sockets.get(connection)
    if (!socket) return
    this.#sockets.delete(connection)
    this.#directory.close(connection, socket.cluster)
  }

  lookup(batch: LookupBatch): readonly (readonly ClusterKnowledge[])[] {
    const { nowMs } = this.#world.clock
    const answers = this.#directory.lookup(boundBatch(batch), nowMs)
    for (const [index, question] of batch.questions.entries()) {
      this.#world.checkers.afterLookup(this, batch.isolate, question, answers[index] ?? [])
    }
    return answers
  }

  /** Nobody has spoken or asked for a while: what is over by now is over. */
  expire(): void {
    this.#directory.models(this.#world.clock.nowMs)
  }

  evict(): void {
    this.#directory = this.#awake()
  }

  update(): void {
    for (const connection of this.#sockets.keys()) this.#close(connection)
    this.evict()
  }

  #awake(): RegionalDirectory {
    return new RegionalDirectory(this.region, this.#slotsMax, this.#faults.parts)
  }

  #close(connection: string): void {
    const socket = this.#sockets.get(connection)
    if (!socket) return
    this.disconnected(connection)
    socket.close()
  }

  #deliver({ connection, batch, outcomes }: Delivery): void {
    const { clock, dice, truth, isStormy } = this.#world
    const acknowledge = (untaken: readonly number[]) => {
      this.#world.checkers.beforeAcknowledgement(outcomes, untaken)
      this.#sockets.get(connection)?.send(JSON.stringify({ type: 'outcomes-ack', batch, untaken }))
    }
    if (this.#faults.acknowledgesEarly) acknowledge([])
    clock.after(dice.float() * LEDGER_MS, () => {
      const untaken = outcomes.flatMap(({ requestId }, index) => {
        if (dice.chance(isStormy ? LEDGER_FAILS : 0)) return [index]
        truth.settled.add(requestId)
        return []
      })
      if (!this.#faults.acknowledgesEarly) acknowledge(untaken)
    })
  }
}
