/** What is known of the endpoints at this moment, joined from all who know: for metrics and debug routes. */
import type { Accuracy } from './accuracy.ts'
import type { Cluster } from './cluster.ts'
import type { EventSources } from './event-sources.ts'
import type { Health } from './health.ts'
import type { Learner } from './learner.ts'
import type { Roster } from './roster.ts'
import type { Role } from './routing/endpoint.ts'
import type { BreakerState } from './vitals/breaker.ts'
import type { Diagnosis } from './vitals/diagnosis.ts'
import type { EngineReading } from './vitals/engine-metrics.ts'
import type { PredictionSummary } from './vitals/predictions.ts'

export interface EndpointView {
  readonly name: string
  readonly number: number
  readonly role: Role
  readonly version: string | null
  readonly incarnation: string | null
  readonly unavailable: string | null
  readonly breaker: BreakerState | null
  readonly backlogMs: number
  readonly kvPressure: number
  readonly legs: number
  /** Requests booked there beyond the one that is being prefilled. */
  readonly waiting: number
  readonly reading: EngineReading | null
  readonly impossible: number
  readonly events: {
    readonly state: string
    readonly messages: number
    readonly malformed: number
    readonly gaps: number
    readonly fences: number
  } | null
  readonly accuracy: PredictionSummary | null
  readonly diagnosis: Diagnosis | null
}

export interface PoolParts {
  readonly cluster: Cluster
  readonly health: Health
  readonly sources: EventSources
  readonly learner: Learner
  readonly roster: Roster
  readonly accuracy: Accuracy
}

export class PoolView {
  readonly #parts: PoolParts

  constructor(parts: PoolParts) {
    this.#parts = parts
  }

  get name(): string {
    return this.#parts.cluster.config.cluster
  }

  endpoints(): EndpointView[] {
    const { cluster, health, sources, accuracy } = this.#parts
    const nowMs = performance.now()
    return cluster.endpoints.map(({ number, name, role, version }) => {
      const load = cluster.bookings.load(number, nowMs)
      const legs = cluster.bookings.countOf(number, nowMs)
      const vitals = health.of(number)
      const subscriber = sources.of(number)
      const judged = accuracy.of(number)
      return {
        name,
        number,
        role,
        version,
        incarnation: cluster.registry.spec(number)?.incarnation ?? null,
        unavailable: cluster.unavailable(number),
        breaker: vitals?.breaker ?? null,
        backlogMs: load.backlogMs,
        kvPressure: load.kvPressure,
        legs,
        waiting: Math.max(legs - load.decoding - 1, 0),
        reading: vitals?.reading ?? null,
        impossible: vitals?.impossible ?? 0,
        events: subscriber && { state: subscriber.state, ...subscriber.counts },
        accuracy: judged?.summary ?? null,
        diagnosis: judged?.diagnosis ?? null,
      }
    })
  }

  totals() {
    const { cluster, learner, roster } = this.#parts
    const states = cluster.states.map(({ index, ledger }) => ({
      blocks: index.table.size,
      markers: ledger.size,
      orphans: index.counts.orphans,
    }))
    const sum = (key: 'blocks' | 'markers' | 'orphans') =>
      states.reduce((total, state) => total + state[key], 0)
    return {
      blocks: sum('blocks'),
      markers: sum('markers'),
      orphans: sum('orphans'),
      promptsPending: learner.pending,
      promptsDropped: learner.counts.dropped,
      endpointsRefused: roster.refused,
      decisions: cluster.decisions.total,
    }
  }
}
