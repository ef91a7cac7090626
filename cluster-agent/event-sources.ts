/** One event feed for each endpoint, as endpoints come and go: dialled, asked for, or waited for. */
import type { Logger } from 'pino'
import type { Cluster } from './cluster.ts'
import type { EndpointSpec } from './discovery/endpoint-spec.ts'
import { findEventAddresses } from './event-addresses.ts'
import { EventFeed, type FeedOptions } from './event-feed.ts'
import type { EventListener } from './event-listener.ts'
import { EventSubscriber } from './event-subscriber.ts'
import type { RosterPart } from './roster.ts'
import type { Endpoint } from './routing/endpoint.ts'
import { ChainRoots, type RootCounts } from './vitals/chain-roots.ts'

interface Source {
  feed: EventFeed
  readonly stopping: AbortController
  /** Of an engine that is asked where it publishes. */
  asking: Promise<void>
}

export class EventSources implements RosterPart {
  readonly #cluster: Cluster
  readonly #log: Logger
  readonly #listener: EventListener | null
  readonly #byNumber = new Map<number, Source>()
  readonly #roots = new ChainRoots()

  constructor(cluster: Cluster, log: Logger, listener: EventListener | null = null) {
    this.#cluster = cluster
    this.#log = log
    this.#listener = listener
  }

  /** In order of the endpoints' numbers. */
  get all(): readonly EventFeed[] {
    return [...this.#byNumber].toSorted(([a], [b]) => a - b).map(([, { feed }]) => feed)
  }

  of(number: number): EventFeed | null {
    return this.#byNumber.get(number)?.feed ?? null
  }

  rootsOf(number: number): Readonly<RootCounts> {
    return this.#roots.of(number)
  }

  /** Another process is there. Its stream mostly knows already, by the socket. */
  noteRestart(number: number): void {
    this.of(number)?.noteRestart()
  }

  /** Its cache was emptied. */
  noteReset(number: number): void {
    this.of(number)?.noteReset()
  }

  /** Forgets what is known of the endpoint, and begins anew with a replay. */
  resync(number: number): void {
    this.of(number)?.fence('asked to')
  }

  /** Begins anew with a replay, and forgets only when it comes. False where there is none. */
  reread(number: number): boolean {
    return this.of(number)?.reread() ?? false
  }

  open({ number }: Endpoint, spec: EndpointSpec): void {
    this.#roots.forget(number)
    this.#cluster.eventAge.forget(number)
    const options: FeedOptions = {
      name: spec.endpoint,
      replay: spec.replay,
      rank: spec.rank,
      onBatch: (batch) => {
        this.#roots.note(number, batch)
        this.#cluster.eventAge.note(number, batch.madeMs, Date.now(), performance.now())
        for (const { index } of this.#cluster.states) index.applyBatch(number, batch)
      },
      onFence: () => this.#cluster.fence(number),
      log: this.#log,
    }
    const { events } = spec
    const feed = events === undefined ? new EventFeed(options) : new EventSubscriber({ ...options, events })
    const source: Source = { feed, stopping: new AbortController(), asking: Promise.resolve() }
    this.#byNumber.set(number, source)
    feed.start()
    if (events !== undefined) return
    if (this.#listener) this.#listener.add({ ...spec, feed })
    else source.asking = this.#ask(source, spec, options)
  }

  async retire(number: number): Promise<void> {
    const source = this.#byNumber.get(number)
    if (!source) return
    this.#byNumber.delete(number)
    source.stopping.abort()
    await source.asking
    this.#listener?.remove(source.feed)
    await source.feed.stop()
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#byNumber.keys()].map((number) => this.retire(number)))
    await this.#listener?.stop()
  }

  async #ask(source: Source, { url, rank }: EndpointSpec, options: FeedOptions): Promise<void> {
    const found = await findEventAddresses(url, rank ?? 0, source.stopping.signal)
    if (!found || source.stopping.signal.aborted) return
    await source.feed.stop()
    const { events, replay } = found
    source.feed = new EventSubscriber({ ...options, events, replay: options.replay ?? replay })
    source.feed.start()
  }
}
