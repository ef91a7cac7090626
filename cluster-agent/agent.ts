/** The agent assembled: what knows, what listens to engines, what answers, what reports. */
import { setTimeout as sleep } from 'node:timers/promises'
import { pino, type Logger } from 'pino'
import { CalibrationStore } from './calibration-store.ts'
import { Accuracy } from './accuracy.ts'
import { createAdminServer } from './admin-server.ts'
import { Cluster } from './cluster.ts'
import type { AgentConfig } from './config.ts'
import { Discovery } from './discovery.ts'
import { EngineClients } from './engine-clients.ts'
import { EventSources } from './event-sources.ts'
import type { EventFeed } from './event-feed.ts'
import { EventListener } from './event-listener.ts'
import { observerOf, type RequestObserver } from './finished-request.ts'
import { Generation } from './generate.ts'
import { Health } from './health.ts'
import { Inspection } from './inspection.ts'
import { KeptResponses } from './kept-responses.ts'
import { Learner } from './learner.ts'
import { LedgerStore } from './ledger-store.ts'
import { listen } from './listening.ts'
import { AgentMetrics } from './metrics.ts'
import { PoolView } from './pool-view.ts'
import { Reporter } from './reporter.ts'
import { ResponseFollowers } from './response-followers.ts'
import { ResponseHomes } from './response-homes.ts'
import { Roster } from './roster.ts'
import { createAgentServer } from './server.ts'
import { Tracing } from './tracing.ts'

export interface RunningAgent {
  readonly url: string
  /** Of metrics and debug routes, when they have an address of their own. */
  readonly adminUrl: string | null
  readonly cluster: Cluster
  readonly learner: Learner
  readonly roster: Roster
  readonly subscribers: readonly EventFeed[]
  readonly reporter: Reporter
  /** Takes no new connections, lets requests end within the bound, then lets go of everything. */
  stop(drainMs?: number): Promise<void>
}

const DRAIN_MS = 2000
const DRAIN_POLL_MS = 20

/** Rejects when the port is taken or a tokenizer cannot be read. */
export async function startAgent(
  config: AgentConfig,
  log: Logger = pino({ level: 'silent' }),
  observers: readonly RequestObserver[] = [],
): Promise<RunningAgent> {
  const costs = new CalibrationStore(config.stateDir ?? null, log)
  const cluster = new Cluster(config, await costs.read())
  const store = config.stateDir === undefined ? null : new LedgerStore(cluster, config.stateDir, log)
  const restored = (await store?.restore()) ?? 0
  const learner = new Learner(cluster, log, restored === 0)
  await learner.prepare()
  const listener = config.eventsBind === undefined ? null : new EventListener(config.eventsBind, log)
  await listener?.start()
  const sources = new EventSources(cluster, log, listener)
  const health = new Health({
    cluster,
    onRestart: (number) => sources.noteRestart(number),
    onReset: (number) => sources.noteReset(number),
    log,
  })
  const clients = new EngineClients()
  const accuracy = new Accuracy(cluster, sources, health, log)
  const reporter = new Reporter(cluster, log)
  const forgetting = { release: (number: number) => cluster.calibration.release(number) }
  const roster = new Roster(cluster, [clients, health, sources, accuracy, forgetting], log)
  const pool = new PoolView({ cluster, health, sources, learner, roster, accuracy })
  const metrics = new AgentMetrics(pool)
  const homes = new ResponseHomes()
  const followers = new ResponseFollowers()
  const kept = new KeptResponses(cluster, clients, homes, followers)
  const generation = new Generation(cluster, clients, health, learner, homes, log, [
    observerOf(reporter),
    learner,
    accuracy,
    metrics,
    { noteFinished: (request) => log.debug({ request }, 'request ended') },
    ...observers,
  ])
  const inspection = new Inspection({ cluster, learner, pool, metrics })
  const tracing = await startTracing(config)
  const server = createAgentServer({ cluster, generation, kept, followers, inspection, tracing, log })
  const url = await listen(server, config.listen)
  const admin = config.admin && createAdminServer(inspection, log)
  const adminUrl = admin && config.admin ? await listen(admin, config.admin) : null
  roster.start()
  const discovery = new Discovery(config, log)
  await discovery.start((specs) => roster.apply(specs))
  await health.start()
  costs.start(cluster.calibration)
  reporter.start()
  learner.start()
  store?.start()
  return {
    url,
    adminUrl,
    cluster,
    learner,
    roster,
    get subscribers() {
      return sources.all
    },
    reporter,
    async stop(drainMs = DRAIN_MS) {
      cluster.draining = true
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeIdleConnections()
      generation.refuseWaiting()
      const endMs = performance.now() + drainMs
      while (cluster.bookings.count > 0 && performance.now() < endMs) await sleep(DRAIN_POLL_MS)
      server.closeAllConnections()
      await closed
      admin?.closeAllConnections()
      admin?.close()
      await discovery.stop()
      reporter.stop()
      await learner.stop()
      await store?.stop()
      await costs.stop(cluster.calibration)
      await roster.stop()
      await Promise.all([health.stop(), clients.close(), sources.stop(), tracing.stop()])
    },
  }
}

function startTracing({ tracing, cluster }: AgentConfig): Promise<Tracing> | Tracing {
  return tracing ? Tracing.toCollector(tracing.otlpUrl, tracing.sampleRatio, cluster) : Tracing.off()
}
