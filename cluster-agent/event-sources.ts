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
  /** Fences of each subscriber that a restart has accounted for. */
  readonly #fencesSeen = new Map<number, number>()

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

  /** Another process is there. The subscriber mostly knows already, by its socket; else it begins anew. */
  noteRestart(number: number): void {
    const subscriber = this.#byNumber.get(number)
    const endpoint = this.#cluster.registry.endpoint(number)
    const spec = this.#cluster.registry.spec(number)
    if (!subscriber || !endpoint || !spec) return
    const { fences } = subscriber.counts
    const hasFenced = fences > (this.#fencesSeen.get(number) ?? 0)
    this.#fencesSeen.set(number, fences)
    if (hasFenced) return
    void this.retire(number).then(() => {
      this.#cluster.fence(number)
      if (this.#cluster.registry.endpoint(number) === endpoint && !this.#byNumber.has(number))
        this.open(endpoint, spec)
    })
  }

  async retire(number: number): Promise<void> {
    const subscriber = this.#byNumber.get(number)
    this.#byNumber.delete(number)
    this.#fencesSeen.delete(number)
    await subscriber?.stop()
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#byNumber.keys()].map((number) => this.retire(number)))
  }
}
