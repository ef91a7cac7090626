/**
 * Endpoints as they come and go: whatever holds something for an endpoint is told here, in one order. A retired endpoint
 * is out of the choice and forgotten at once; its number is released when the last request on it has ended.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Cluster } from './cluster.ts'
import { changesBetween } from './discovery/changes.ts'
import type { EndpointSpec } from './discovery/endpoint-spec.ts'
import { REUSE_AFTER_MS } from './discovery/registry.ts'
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

export class Roster {
  readonly #cluster: Cluster
  readonly #parts: readonly RosterPart[]
  readonly #log: Logger
  readonly #stopping = new AbortController()
  readonly #leaving = new Set<Promise<void>>()
  #wanted: readonly EndpointSpec[] | null = null
  /** Endpoints that found no free number when they came. */
  refused = 0

  constructor(cluster: Cluster, parts: readonly RosterPart[], log: Logger) {
    this.#cluster = cluster
    this.#parts = parts
    this.#log = log
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
      const leaving = this.#retire(number).finally(() => this.#leaving.delete(leaving))
      this.#leaving.add(leaving)
    }
    for (const spec of opened) {
      const endpoint = this.#cluster.openEndpoint(spec, performance.now())
      if (endpoint) this.#tell(endpoint)
      else {
        this.refused++
        this.#log.error(
          { endpoint: spec.endpoint, endpointsMax: registry.capacity },
          'no free number for an endpoint: endpointsMax is too low',
        )
      }
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    for (const { number } of this.#cluster.endpoints) this.#cluster.registry.retire(number)
    await Promise.all(this.#leaving)
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
    if (this.refused > 0 && this.#wanted) this.#retryRefused()
  }

  /** Those that found no number may find the one that is released, when it may be given out. */
  #retryRefused(): void {
    const timer = setTimeout(() => this.#wanted && this.apply(this.#wanted), REUSE_AFTER_MS)
    timer.unref()
  }
}
