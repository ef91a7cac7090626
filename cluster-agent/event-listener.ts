/** One socket at which engines dial in with their KV events, each under a topic that names it. */
import type { Logger } from 'pino'
import { Subscriber } from 'zeromq'
import type { EventFeed } from './event-feed.ts'
import { MESSAGES_QUEUED_MAX } from './event-subscriber.ts'
import { PAYLOAD_BYTES_MAX } from './events/decode-batch.ts'
import { peekRank } from './events/frames.ts'
import { ownerOf, type TopicOwner } from './events/topics.ts'
import { TimeSlice } from './time-slice.ts'

interface Guest extends TopicOwner {
  readonly feed: EventFeed
}

const TOPIC_BYTES_MAX = 512

export class EventListener {
  readonly #address: string
  readonly #log: Logger
  readonly #socket: Subscriber
  #guests: readonly Guest[] = []
  #isStopped = false
  #running: Promise<void> = Promise.resolve()
  /** Messages whose topic names no endpoint. */
  unknown = 0

  constructor(address: string, log: Logger) {
    this.#address = address
    this.#log = log
    this.#socket = new Subscriber({
      receiveHighWaterMark: MESSAGES_QUEUED_MAX,
      maxMessageSize: PAYLOAD_BYTES_MAX,
      linger: 0,
    })
  }

  /** The address that was bound, when it asked for any free port. */
  get address(): string {
    return this.#socket.lastEndpoint ?? this.#address
  }

  /** Rejects when the address is taken. */
  async start(): Promise<void> {
    await this.#socket.bind(this.#address)
    this.#socket.subscribe()
    // Who left is not said: each engine is asked whether it is still the same.
    this.#socket.events.on('disconnect', () => {
      if (!this.#isStopped) for (const { feed } of this.#guests) feed.check()
    })
    this.#running = this.#run()
  }

  add(guest: Guest): void {
    this.#guests = [...this.#guests, guest]
  }

  remove(feed: EventFeed): void {
    this.#guests = this.#guests.filter((guest) => guest.feed !== feed)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#socket.close()
    await this.#running
  }

  async #run(): Promise<void> {
    const slice = new TimeSlice()
    try {
      for await (const frames of this.#socket) {
        if (this.#isStopped) return
        this.#receive(frames)
        await slice.yieldIfDue()
      }
    } catch (error) {
      if (!this.#isStopped) this.#log.error({ error: String(error) }, 'KV events ended')
    }
  }

  #receive(frames: readonly Buffer[]): void {
    const [topic, , payload] = frames
    const isNamed = topic !== undefined && payload !== undefined && topic.length <= TOPIC_BYTES_MAX
    const guest = isNamed ? ownerOf(this.#guests, topic.toString('utf8'), peekRank(payload)) : null
    if (guest) {
      guest.feed.receive(frames)
      return
    }
    if (this.unknown++ === 0)
      this.#log.warn({ topic: topic?.toString('utf8', 0, TOPIC_BYTES_MAX) }, 'KV events of an unknown engine')
  }
}
