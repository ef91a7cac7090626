import { Bookings } from '../../cluster-agent/routing/bookings.ts'
import { Speculation } from '../../cluster-agent/routing/speculation.ts'
import { HeldRequests } from './held-requests.ts'

/** What the agent of one cluster keeps. */
export class ClusterBooks {
  readonly bookings: Bookings
  readonly speculation = new Speculation()
  readonly waiting = new HeldRequests()
  handoffMs = 0

  constructor(kvTokens: readonly number[]) {
    this.bookings = new Bookings(kvTokens)
  }
}
