/**
 * Endpoints and their numbers. Index, bookings and clients know an endpoint by its number, so a number is stable while the
 * endpoint lives, and is given to another only after its holder is retired, released and forgotten by what expires.
 */
import type { Endpoint } from '../routing/endpoint.ts'
import type { EndpointSpec } from './endpoint-spec.ts'

/** Longer than anything that remembers a number without being told of its end (routing/speculation.ts). */
export const REUSE_AFTER_MS = 5000

/** The fault of an engine whose health is not told in time. It may well serve, so it is asked where nobody else is there. */
export const LATE = 'late'

interface Slot {
  endpoint: Endpoint
  spec: EndpointSpec
  /** The version that the engine itself told, for specs that name none. */
  learntVersion: string | null
  /** What its health says; null: well. */
  fault: string | null
  /** Legs that may be under way there while others can take the rest; null: any number. */
  legsMax: number | null
  /** It is out of the choice; what runs on it may finish. */
  isRetired: boolean
}

export class EndpointRegistry {
  readonly #slots: (Slot | null)[]
  /** When each number may be given out (again). */
  readonly #freeFromMs: number[]
  #endpoints: readonly Endpoint[] = []

  /** Numbers are 0 to `capacity` - 1. */
  constructor(capacity: number) {
    this.#slots = Array.from({ length: capacity }, () => null)
    this.#freeFromMs = this.#slots.map(() => Number.NEGATIVE_INFINITY)
  }

  get capacity(): number {
    return this.#slots.length
  }

  /** Those that are not retired, by number. The list is another one after each change. */
  get endpoints(): readonly Endpoint[] {
    return this.#endpoints
  }

  /** Retired ones too, until they are released. */
  endpoint(number: number): Endpoint | null {
    return this.#slots[number]?.endpoint ?? null
  }

  spec(number: number): EndpointSpec | null {
    return this.#slots[number]?.spec ?? null
  }

  /** null: no number is free. */
  open(spec: EndpointSpec, nowMs: number): Endpoint | null {
    const number = this.#slots.findIndex((slot, at) => !slot && (this.#freeFromMs[at] ?? 0) <= nowMs)
    if (number < 0) return null
    const endpoint = endpointOf(spec, number, null)
    this.#slots[number] = {
      endpoint,
      spec,
      learntVersion: null,
      fault: 'starting',
      legsMax: null,
      isRetired: false,
    }
    this.#refresh()
    return endpoint
  }

  /** The same life of the same engine, described anew. */
  update(number: number, spec: EndpointSpec): void {
    const slot = this.#slots[number]
    if (!slot) return
    slot.spec = spec
    slot.endpoint = endpointOf(spec, number, slot.learntVersion)
    this.#refresh()
  }

  learnVersion(number: number, version: string): void {
    const slot = this.#slots[number]
    if (!slot || slot.learntVersion === version) return
    slot.learntVersion = version
    this.update(number, slot.spec)
  }

  retire(number: number): void {
    const slot = this.#slots[number]
    if (!slot) return
    slot.isRetired = true
    this.#refresh()
  }

  /** Nothing speaks of the number any more; it is given out again after a while. */
  release(number: number, nowMs: number): void {
    if (!this.#slots[number]?.isRetired) return
    this.#slots[number] = null
    this.#freeFromMs[number] = nowMs + REUSE_AFTER_MS
  }

  /** Why an endpoint takes no new request, or null. */
  unavailable(number: number): string | null {
    const slot = this.#slots[number]
    if (!slot || slot.isRetired) return 'gone'
    if (slot.spec.isServing === false) return 'draining'
    return slot.fault === LATE && !this.#isAnyWell() ? null : slot.fault
  }

  fault(number: number): string | null {
    return this.#slots[number]?.fault ?? null
  }

  setFault(number: number, fault: string | null): void {
    const slot = this.#slots[number]
    if (slot) slot.fault = fault
  }

  setLegsMax(number: number, legs: number | null): void {
    const slot = this.#slots[number]
    if (slot) slot.legsMax = legs
  }

  /**
   * Legs that an endpoint on probation or on its ramp may have. It counts only while others of its kind are without a
   * bound: nobody is refused for it.
   */
  legsMax(number: number): number | null {
    const slot = this.#slots[number]
    if (!slot || slot.legsMax === null) return null
    const { role } = slot.endpoint
    const canOthers = this.#endpoints.some(
      (other) =>
        (other.role === role || other.role === 'both') &&
        this.#slots[other.number]?.legsMax === null &&
        this.unavailable(other.number) === null,
    )
    return canOthers ? slot.legsMax : null
  }

  #isAnyWell(): boolean {
    return this.#slots.some(
      (slot) => slot && !slot.isRetired && slot.spec.isServing !== false && slot.fault === null,
    )
  }

  #refresh(): void {
    this.#endpoints = this.#slots.flatMap((slot) => (slot && !slot.isRetired ? [slot.endpoint] : []))
  }
}

/** Engines of another version or rollout refuse each other's KV: what must be equal is one text. */
function endpointOf(
  { endpoint, role, version, revision, rank, profile }: EndpointSpec,
  number: number,
  learntVersion: string | null,
): Endpoint {
  const parts = [version ?? learntVersion, revision].filter((part) => typeof part === 'string')
  const text = parts.length === 0 ? null : parts.join('+')
  return { number, name: endpoint, role, version: text, rank: rank ?? null, profile }
}
