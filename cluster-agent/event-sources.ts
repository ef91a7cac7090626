/** One event subscriber for each endpoint, as endpoints come and go. */
import type { Logger } from 'pino'
import type { Cluster } from './cluster.ts'
import type { EndpointSpec } from './discovery/endpoint-spec.ts'
import { EventSubscriber } from './event-subscriber.ts'
import type { RosterPart } from './roster.ts'
import type { Endpoint } from './routing/endpoint.ts'

export class EventSources implements RosterPart {
  readonly #cluster: Cluster
  readonly #log: Logger
  readonly #byNumber = new Map<number, EventSubscriber>()

  constructor(cluster: Cluster, log: Logger) {
    this.#cluster = cluster
    this.#log = log
  }

  /** In order of the endpoints' numbers. */
  get all(): readonly EventSubscriber[] {
    return [...this.#byNumber].toSorted(([a], [b]) => a - b).map(([, subscriber]) => subscriber)
  }

  of(number: number): EventSubscriber | null {
    return this.#byNumber.get(number) ?? null
  }

  open({ number }: Endpoint, { endpoint, events, replay }: EndpointSpec): void {
    const subscriber = new EventSubscriber({
      name: endpoint,
      events,
      replay,
      onEvent: (event) => {
        for (const { index } of this.#cluster.states) index.apply(number, event)
      },
      onFence: () => this.#cluster.fence(number),
      log: this.#log,
    })
    this.#byNumber.set(number, subscriber)
    subscriber.start()
  }

  async retire(number: number): Promise<void> {
    const subscriber = this.#byNumber.get(number)
    this.#byNumber.delete(number)
    await subscriber?.stop()
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#byNumber.keys()].map((number) => this.retire(number)))
  }
}
