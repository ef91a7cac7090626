/**
 * What one request has tried. A dead or silent engine is out for everybody. One that answers with a fault may be right about
 * the request: it is out for others only when another engine answers the same request. A decode leg that fails after a
 * hand-off may have failed to pull, so the next choice computes where it decodes.
 */
import { RouteError } from '../protocol/errors.ts'

/** Engines that may answer one request with a fault before it is taken to be the request's own. */
const FAULTS_MAX = 3
/** What an engine answers whose queue is full. */
const FULL_STATUSES = new Set([429, 503])
const RETRY_AFTER_MS = 1000

export interface FailedTry {
  readonly leg: 'prefill' | 'decode'
  readonly status: number | null
  readonly wasHandedOver: boolean
}

export class Tries {
  readonly endpoints = new Set<number>()
  /** Endpoints that answered with a fault of their own; whether it is theirs or the request's shows later. */
  readonly faulty: number[] = []
  readonly #statuses: number[] = []
  isSplittable = true

  get mayGoOn(): boolean {
    return this.faulty.length < FAULTS_MAX
  }

  /** Whether the endpoint is out for others too. */
  note(endpoint: number, { status, wasHandedOver }: FailedTry): boolean {
    if (status !== null && wasHandedOver && this.isSplittable) {
      this.isSplittable = false
      return false
    }
    this.endpoints.add(endpoint)
    if (status === null) return true
    this.faulty.push(endpoint)
    this.#statuses.push(status)
    return false
  }

  error(): RouteError {
    if (this.faulty.length === 0)
      return new RouteError('no_endpoint', 'No engine of this cluster can answer the request now.')
    return this.#statuses.every((status) => FULL_STATUSES.has(status))
      ? new RouteError('overloaded', 'The queues of the engines are full.', { retryAfterMs: RETRY_AFTER_MS })
      : new RouteError('upstream_failed', 'The engines failed on this request.')
  }
}
