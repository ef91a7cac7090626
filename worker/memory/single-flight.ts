/**
 * One asks, the others wait for it. A promise belongs to the request that made it, so every waiter makes its own and the
 * leader settles them all; a leader that vanished with its request blocks nobody for longer than the bound.
 */

export type Place =
  | { readonly isLeader: true; readonly land: () => void }
  | { readonly isLeader: false; readonly landed: Promise<void> }

const RIDERS_MAX = 1024

interface Flight {
  readonly sinceMs: number
  readonly riders: (() => void)[]
}

export class SingleFlight {
  readonly #flights = new Map<string, Flight>()
  readonly #flightMsMax: number

  constructor(flightMsMax: number) {
    this.#flightMsMax = flightMsMax
  }

  join(key: string, nowMs: number): Place {
    const current = this.#flights.get(key)
    if (current && nowMs - current.sinceMs < this.#flightMsMax && current.riders.length < RIDERS_MAX) {
      return { isLeader: false, landed: new Promise((resolve) => current.riders.push(resolve)) }
    }
    const flight: Flight = { sinceMs: nowMs, riders: current?.riders ?? [] }
    this.#flights.set(key, flight)
    return {
      isLeader: true,
      land: () => {
        if (this.#flights.get(key) === flight) this.#flights.delete(key)
        for (const wake of flight.riders.splice(0)) wake()
      },
    }
  }
}
