/** One report stream of an agent: the production machine, on a connection of the world's network. */
import { ReportStream } from '../../cluster-agent/report/report-stream.ts'
import type { Change } from '../../cluster-agent/report/epoch-frames.ts'
import type { OutcomeQueue } from '../../cluster-agent/report/outcome-queue.ts'
import { agentMessageSchema, type Heartbeat, type Hello } from '../../protocol/report.ts'
import type { Message } from './network.ts'
import type { SimObject } from './sim-object.ts'
import type { World } from './world.ts'

export interface SimStreamOptions {
  readonly world: World
  readonly cluster: string
  readonly incarnation: number
  /** Whose token it has; another cluster than it claims, when it is an intruder. */
  readonly tokenCluster: string
  readonly object: () => SimObject
  readonly hello: () => Omit<Hello, 'type' | 'v' | 'epoch'>
  readonly snapshot: () => readonly Change[]
  readonly outcomes: OutcomeQueue | null
}

const DIAL_MS = 20
/** Few enough that every snapshot has several parts. */
const PART_CHANGES = 6
/** Of a snapshot that overflows a map. */
const PART_CHANGES_LARGE = 400
/** A side whose connection broke without a word finds out after at most this long. */
const HALF_OPEN_MS_MAX = 8000

export class SimStream {
  readonly #options: SimStreamOptions
  readonly #machine: ReportStream
  #epoch = 0
  #socket: { send: (message: Message) => void; close: () => void } | null = null

  constructor(options: SimStreamOptions) {
    this.#options = options
    const { world } = options
    this.#machine = world.faults.newStream({
      hello: options.hello,
      snapshot: () => {
        const changes = options.snapshot()
        world.truth.takeSnapshot(this.#epoch, changes)
        return changes
      },
      outcomes: options.outcomes,
      random: world.dice.float,
      partMax: world.isEvicting ? PART_CHANGES_LARGE : PART_CHANGES,
      table: world.faults.agentTable,
    })
  }

  get state(): ReportStream['state'] {
    return this.#machine.state
  }

  tick(): void {
    this.#drive((machine, nowMs) => machine.tick(nowMs))
  }

  push(changes: readonly Change[]): void {
    this.#options.world.truth.push(this.#epoch, changes)
    this.#drive((machine, nowMs) => machine.push(changes, 50, nowMs))
  }

  heartbeat(load: Pick<Heartbeat, 'loads' | 'draining'>): void {
    this.#drive((machine, nowMs) => machine.heartbeat(load, nowMs))
  }

  quiesce(): void {
    this.#drive((machine, nowMs) => machine.quiesce(nowMs))
  }

  /** The process dies: its sockets close, and nothing more is said. */
  die(): void {
    this.#socket?.close()
    this.#socket = null
  }

  /** The connection breaks: this side knows at once, the other later. */
  breakConnection(): void {
    if (this.#socket === null) return
    this.#socket.close()
    this.#socket = null
    this.#drive((machine, nowMs) => machine.closed(nowMs))
  }

  #drive(event: (machine: ReportStream, nowMs: number) => void): void {
    event(this.#machine, this.#options.world.clock.nowMs)
    for (const command of this.#machine.take()) {
      if (command.kind === 'dial') this.#dial()
      else if (command.kind === 'send') this.#send(command.data)
      else if (command.kind === 'close') this.die()
    }
  }

  #dial(): void {
    const { world, object, tokenCluster, cluster } = this.#options
    const { network, clock, dice } = world
    let connection: string | null = null
    const target = object()
    const place = target.region
    const socket = {
      send: network.lane(cluster, place, (message) => {
        if (connection !== null) target.receive(connection, message)
      }),
      close: () => {
        const isHalfOpen = dice.chance(world.network.weather.lost > 0 ? 0.3 : 0)
        const delayMs = isHalfOpen ? dice.float() * HALF_OPEN_MS_MAX : DIAL_MS
        clock.after(delayMs, () => {
          if (connection !== null) target.disconnected(connection)
          connection = null
        })
      },
    }
    this.#socket = socket
    const isCurrent = () => this.#socket === socket
    network.call(
      cluster,
      place,
      () => {
        const back = network.lane(place, cluster, (message) => {
          if (isCurrent()) this.#drive((machine, nowMs) => machine.received(message, nowMs))
        })
        connection = target.accept({
          cluster: tokenCluster,
          send: back,
          close: () => {
            connection = null
            clock.after(DIAL_MS, () => {
              if (isCurrent()) this.breakConnection()
            })
          },
        })
        return true
      },
      (isOpen) => {
        if (!isCurrent()) return
        if (isOpen) this.#drive((machine, nowMs) => machine.opened(nowMs))
        else this.breakConnection()
      },
    )
  }

  #send(data: string | Uint8Array): void {
    const { world, cluster, incarnation, tokenCluster } = this.#options
    const { truth, clock } = world
    if (typeof data === 'string') {
      const message = agentMessageSchema.parse(JSON.parse(data))
      if (message.type === 'hello') {
        this.#epoch = message.epoch
        truth.begin(
          message.epoch,
          { cluster, incarnation, isRightful: cluster === tokenCluster },
          clock.nowMs,
        )
      }
      const epoch = truth.epoch(this.#epoch)
      if (epoch) epoch.lastSentMs = clock.nowMs
    } else truth.sent(data, clock.nowMs)
    this.#socket?.send(data)
  }
}
