/**
 * Reports to every regional directory: what changed tier every 100 ms, how loaded the cluster is every 200 ms, and what
 * came true of requests to the directory of the region whose edge sent them.
 */
import type { Logger } from 'pino'
import { DELTA_INTERVAL_MS, HEARTBEAT_INTERVAL_MS } from '../protocol/report.ts'
import type { Outcome } from '../protocol/outcome.ts'
import type { Cluster } from './cluster.ts'
import { DirectoryStream } from './directory-stream.ts'

/** Changes of one interval; what is over waits for the next. */
const CHANGES_MAX = 50_000

/** Where the agent says how a request ended. */
export interface OutcomeLog {
  /** Never throws, never blocks. Sent until the tenant's ledger has it; the oldest give way when too many wait. */
  note(outcome: Outcome): void
}

export class Reporter implements OutcomeLog {
  readonly #cluster: Cluster
  readonly #streams: readonly DirectoryStream[]
  #deltas: NodeJS.Timeout | undefined
  #heartbeats: NodeJS.Timeout | undefined

  constructor(cluster: Cluster, log: Logger) {
    this.#cluster = cluster
    const { config } = cluster
    const incarnation = Date.now()
    this.#streams = config.directories.map(
      ({ region, url }) =>
        new DirectoryStream({
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
          snapshot: () => cluster.states.flatMap(({ ledger }) => [...ledger.resident()]),
          log,
        }),
    )
  }

  get streams(): readonly DirectoryStream[] {
    return this.#streams
  }

  note(outcome: Outcome): void {
    this.#streams.find(({ region }) => region === outcome.edgeRegion)?.outcomes.note(outcome)
  }

  start(): void {
    for (const stream of this.#streams) stream.start()
    this.#deltas = setInterval(() => {
      this.#sendDeltas()
      for (const stream of this.#streams) stream.sendOutcomes(performance.now())
    }, DELTA_INTERVAL_MS)
    this.#heartbeats = setInterval(() => this.#sendHeartbeats(), HEARTBEAT_INTERVAL_MS)
  }

  stop(): void {
    clearInterval(this.#deltas)
    clearInterval(this.#heartbeats)
    for (const stream of this.#streams) stream.stop()
  }

  #sendDeltas(): void {
    const changes = this.#cluster.states.flatMap(({ ledger }) => ledger.drainChanges(CHANGES_MAX))
    if (changes.length > 0) for (const stream of this.#streams) stream.push(changes)
  }

  #sendHeartbeats(): void {
    const loads = this.#cluster.loads(performance.now())
    for (const stream of this.#streams) stream.heartbeat(loads, this.#cluster.draining)
  }
}
