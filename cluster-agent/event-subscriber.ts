/**
 * One engine core's KV events, dialled: subscribe first, then replay what came before, so that nothing falls between. A
 * connection that was lost may come back to another process, so what was known is forgotten.
 */
import { Subscriber } from 'zeromq'
import { EventFeed, type FeedOptions } from './event-feed.ts'
import { PAYLOAD_BYTES_MAX } from './events/decode-batch.ts'
import { TimeSlice } from './time-slice.ts'

export interface SubscriberOptions extends FeedOptions {
  readonly events: string
}

const RECONNECT_MS = 100
const RECONNECT_MS_MAX = 2000
/** Messages that wait in the socket. A publisher that is faster than we are loses what is over, which we then replay. */
export const MESSAGES_QUEUED_MAX = 10_000

export class EventSubscriber extends EventFeed {
  readonly #options: SubscriberOptions
  readonly #socket: Subscriber
  #isStopped = false
  #running: Promise<void> = Promise.resolve()

  constructor(options: SubscriberOptions) {
    super(options)
    this.#options = options
    this.#socket = new Subscriber({
      receiveHighWaterMark: MESSAGES_QUEUED_MAX,
      maxMessageSize: PAYLOAD_BYTES_MAX,
      reconnectInterval: RECONNECT_MS,
      reconnectMaxInterval: RECONNECT_MS_MAX,
      linger: 0,
    })
  }

  override start(): void {
    super.start()
    this.#socket.events.on('connect', () => this.#isStopped || this.connected())
    this.#socket.events.on('disconnect', () => this.#isStopped || this.disconnected())
    this.#socket.connect(this.#options.events)
    this.#socket.subscribe()
    this.#running = this.#run()
  }

  override async stop(): Promise<void> {
    this.#isStopped = true
    this.#socket.close()
    await this.#running
    await super.stop()
  }

  async #run(): Promise<void> {
    const slice = new TimeSlice()
    try {
      for await (const frames of this.#socket) {
        if (this.#isStopped) return
        this.receive(frames)
        await slice.yieldIfDue()
      }
    } catch (error) {
      if (!this.#isStopped)
        this.#options.log.error({ endpoint: this.#options.name, error: String(error) }, 'KV events ended')
    }
  }
}
