/**
 * Endpoints as they come and go: whatever holds something for an endpoint is told here, in one order. A retired endpoint
 * is out of the choice and forgotten at once; its number is released when the last request on it has ended.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Cluster } from './cluster.ts'
import { changesBetween } from './discovery/changes.ts'
import type { EndpointSpec } from './discovery/endpoint-spec.ts'
import type { Endpoint } from './routing/endpoint.ts'

/** Holds something for each endpoint. */
export interface RosterPart {
  open?(endpoint: Endpoint, spec: EndpointSpec): void
  /** No new request goes there, and its residency is forgotten when this is done. */
  retire?(number: number): Promise<void> | void
  /** No request runs there: the number goes to another endpoint. */
  release?(number: number): Promise<void> | void
}

const RELEASE_POLL_MS = 100
/** How often an endpoint that waits for a number asks again. */
const RETRY_MS = 1000

export class Roster {
  readonly #cluster: Cluster
  readonly #parts: readonly RosterPart[]
  readonly #log: Logger
  readonly #stopping = new AbortController()
  readonly #leaving = new Set<Promise<void>>()
  #wanted: readonly EndpointSpec[] | null = null
  /** Names of endpoints that have found no free number yet. */
  readonly #waiting = new Set<string>()
  #retry: NodeJS.Timeout | undefined

  constructor(cluster: Cluster, parts: readonly RosterPart[], log: Logger) {
    this.#cluster = cluster
    this.#parts = parts
    this.#log = log
  }

  /** Endpoints that wait for a number. */
  get refused(): number {
    return this.#waiting.size
  }

  /** Opens what the cluster begins with. */
  start(): void {
    for (const endpoint of this.#cluster.endpoints) this.#tell(endpoint)
  }

  /** Makes the endpoints those of `wanted`. */
  apply(wanted: readonly EndpointSpec[]): void {
    if (this.#stopping.signal.aborted) return
    this.#wanted = wanted
    const { registry } = this.#cluster
    const present = registry.endpoints.flatMap(({ number }) => {
      const spec = registry.spec(number)
      return spec ? [{ number, spec }] : []
    })
    const { opened, updated, retired } = changesBetween(present, wanted)
    for (const { number, spec } of updated) this.#cluster.updateEndpoint(number, spec)
    for (const number of retired) {
      const leaving = this.#retire(number)
        .catch((error: unknown) => this.#log.error({ err: error, number }, 'an endpoint could not be let go'))
        .finally(() => this.#leaving.delete(leaving))
      this.#leaving.add(leaving)
    }
    for (const spec of opened) this.#open(spec)
    const names = new Set(wanted.map(({ endpoint }) => endpoint))
    for (const name of this.#waiting) if (!names.has(name)) this.#waiting.delete(name)
    if (this.#waiting.size > 0) this.#retry ??= setTimeout(() => this.#tryAgain(), RETRY_MS)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    clearTimeout(this.#retry)
    for (const { number } of this.#cluster.endpoints) this.#cluster.registry.retire(number)
    await Promise.all(this.#leaving)
  }

  #open(spec: EndpointSpec): void {
    const endpoint = this.#cluster.openEndpoint(spec, performance.now())
    if (endpoint) {
      this.#waiting.delete(spec.endpoint)
      this.#tell(endpoint)
    } else if (!this.#waiting.has(spec.endpoint)) {
      this.#waiting.add(spec.endpoint)
      this.#log.error(
        { endpoint: spec.endpoint, endpointsMax: this.#cluster.registry.capacity },
        'no free number for an endpoint, it waits for one: endpointsMax is too low',
      )
    }
  }

  #tryAgain(): void {
    this.#retry = undefined
    if (this.#wanted) this.apply(this.#wanted)
  }

  #tell(endpoint: Endpoint): void {
    const spec = this.#cluster.registry.spec(endpoint.number)
    if (!spec) return
    this.#log.info({ endpoint: endpoint.name, number: endpoint.number, role: endpoint.role }, 'endpoint came')
    for (const part of this.#parts) part.open?.(endpoint, spec)
  }

  async #retire(number: number): Promise<void> {
    const { registry, bookings } = this.#cluster
    this.#log.info({ endpoint: registry.endpoint(number)?.name, number }, 'endpoint left')
    registry.retire(number)
    for (const part of this.#parts) await part.retire?.(number)
    this.#cluster.fence(number)
    const { signal } = this.#stopping
    while (bookings.countOf(number, performance.now()) > 0 && !signal.aborted)
      await sleep(RELEASE_POLL_MS, undefined, { signal }).catch(() => undefined)
    for (const part of this.#parts) await part.release?.(number)
    registry.release(number, performance.now())
  }
}
