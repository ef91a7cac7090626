/** Requests that nobody takes at the moment: at their edge, or in the cluster that they were sent to. First come, first served. */
import type { Clock } from './clock.ts'
import type { Trip } from './trip.ts'

/** How often what is held is asked for again when nothing ends. */
const RETRY_MS = 20

export interface Takers {
  dispatch(trip: Trip): void
  enter(trip: Trip): void
}

export class HeldTrips {
  private readonly clock: Clock
  private readonly takers: Takers
  private readonly atEdge: Trip[] = []
  private readonly inCluster: Trip[][]
  private isRetryPlanned = false

  constructor(clock: Clock, clusters: number, takers: Takers) {
    this.clock = clock
    this.takers = takers
    this.inCluster = Array.from({ length: clusters }, () => [])
  }

  holdAtEdge(trip: Trip): void {
    this.atEdge.push(trip)
    this.planRetry()
  }

  holdInCluster(trip: Trip): void {
    this.inCluster[trip.cluster]?.push(trip)
    this.planRetry()
  }

  /** What a dead cluster held. */
  drop(cluster: number): void {
    this.inCluster[cluster]?.splice(0)
  }

  /** Everybody tries again; who is held once more waits behind the others. */
  retry(): void {
    if (this.atEdge.length > 0) for (const trip of this.atEdge.splice(0)) this.takers.dispatch(trip)
    for (const list of this.inCluster) {
      if (list.length > 0) for (const trip of list.splice(0)) this.takers.enter(trip)
    }
  }

  private planRetry(): void {
    if (this.isRetryPlanned) return
    this.isRetryPlanned = true
    this.clock.at(this.clock.nowMs + RETRY_MS, () => {
      this.isRetryPlanned = false
      this.retry()
      if (this.atEdge.length > 0 || this.inCluster.some((list) => list.length > 0)) this.planRetry()
    })
  }
}
