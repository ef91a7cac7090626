/**
 * Reports to every regional directory: what changed tier every 100 ms, how loaded the cluster is every 200 ms, and what
 * came true of requests to the directory of the region whose edge sent them.
 */
import type { Logger } from 'pino'
import { residencyNibble } from '../core/tiers.ts'
import { DELTA_INTERVAL_MS, HEARTBEAT_INTERVAL_MS } from '../protocol/report.ts'
import type { Outcome } from '../protocol/outcome.ts'
import type { Cluster } from './cluster.ts'
import type { DirectoryStream } from './directory-stream.ts'
import type { ResidencyChange } from './ledger/prefix-ledger.ts'
import { RegionReports } from './region-reports.ts'
import type { MarkerChange } from './report/divisions.ts'

/** Changes of one interval; what is over waits for the next. */
const CHANGES_MAX = 50_000

/** Where the agent says how a request ended. */
export interface OutcomeLog {
  /** Never throws, never blocks. Sent until the tenant's ledger has it; the oldest give way when too many wait. */
  note(outcome: Outcome): void
}

export class Reporter implements OutcomeLog {
  readonly #cluster: Cluster
  readonly #regions: readonly RegionReports[]
  #drainedMs = 0
  /** Since when changes wait that were too many for an interval; null: none do. */
  #leftMs: number | null = null
  #deltas: NodeJS.Timeout | undefined
  #heartbeats: NodeJS.Timeout | undefined

  constructor(cluster: Cluster, log: Logger) {
    this.#cluster = cluster
    const { config } = cluster
    const incarnation = Date.now()
    this.#regions = config.directories.map(
      ({ region, url }) =>
        new RegionReports({
          region,
          url,
          cluster: config.cluster,
          clusterToken: config.secrets.clusterToken,
          hello: () => ({
            cluster: config.cluster,
            region: config.region,
            incarnation,
            models: cluster.offers(),
          }),
          snapshot: () => cluster.states.flatMap(({ ledger }) => Array.from(ledger.resident(), toChange)),
          log,
        }),
    )
  }

  get streams(): readonly DirectoryStream[] {
    return this.#regions.flatMap(({ streams }) => streams)
  }

  note(outcome: Outcome): void {
    this.#regions.find(({ region }) => region === outcome.edgeRegion)?.outcomes.note(outcome)
  }

  start(): void {
    this.#drainedMs = performance.now()
    this.#deltas = setInterval(() => this.#tick(), DELTA_INTERVAL_MS)
    this.#heartbeats = setInterval(() => this.#sendHeartbeats(), HEARTBEAT_INTERVAL_MS)
    this.#tick()
  }

  stop(): void {
    clearInterval(this.#deltas)
    clearInterval(this.#heartbeats)
    for (const region of this.#regions) region.stop()
  }

  #tick(): void {
    const nowMs = performance.now()
    const changes = this.#cluster.states.flatMap(({ ledger }) =>
      ledger.drainChanges(CHANGES_MAX).map(toChange),
    )
    const ageMs = nowMs - this.#oldestMs(nowMs, changes.length)
    for (const region of this.#regions) {
      region.tick(nowMs)
      if (changes.length > 0) region.push(changes, ageMs)
    }
  }

  /**
   * When the oldest of the changes happened in its engine. What was only learnt of a prompt is no older than the last time
   * that all were taken.
   */
  #oldestMs(nowMs: number, taken: number): number {
    const eventMs = this.#cluster.eventAge.takeOldestMs()
    const oldestMs = Math.min(eventMs ?? this.#drainedMs, this.#leftMs ?? Infinity)
    this.#leftMs = taken >= CHANGES_MAX ? oldestMs : null
    this.#drainedMs = nowMs
    return oldestMs
  }

  #sendHeartbeats(): void {
    const loads = this.#cluster.loads(performance.now())
    const { draining } = this.#cluster
    for (const region of this.#regions) region.heartbeat({ loads, draining })
  }
}

function toChange({ lo, hi, tier, copies = 1, origin }: ResidencyChange): MarkerChange {
  return { lo, hi, nibble: residencyNibble(tier, copies), origin: origin ?? null }
}
