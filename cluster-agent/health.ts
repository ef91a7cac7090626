/**
 * Whether each engine takes requests: polled, and noted from the requests themselves. A failed request takes an endpoint
 * out at once; the next good poll brings it back.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { request } from 'undici'
import type { Cluster } from './cluster.ts'
import type { RosterPart } from './roster.ts'
import type { Endpoint } from './routing/endpoint.ts'

const INTERVAL_MS = 1000
const ANSWER_MS_MAX = 2000
/** Polls that fail in a row before an endpoint that answers requests is taken out. */
const FAILURES_MAX = 2
/** An endpoint that failed a request is out at least this long, whatever its health route says. */
const COOL_DOWN_MS = 2000

export class Health implements RosterPart {
  readonly #cluster: Cluster
  readonly #log: Logger
  readonly #stopping = new AbortController()
  readonly #failures: number[] = []
  readonly #coolUntilMs: number[] = []
  #running: Promise<void> = Promise.resolve()

  constructor(cluster: Cluster, log: Logger) {
    this.#cluster = cluster
    this.#log = log
  }

  /** Resolves after the first round of polls. */
  async start(): Promise<void> {
    await this.#round()
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  open({ number }: Endpoint): void {
    this.#failures[number] = 0
    this.#coolUntilMs[number] = 0
  }

  /** A request found the endpoint dead or silent. */
  noteFailure(endpoint: number, reason: string): void {
    this.#coolUntilMs[endpoint] = performance.now() + COOL_DOWN_MS
    this.#set(endpoint, reason)
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await sleep(INTERVAL_MS, undefined, { signal }).catch(() => undefined)
      if (!signal.aborted) await this.#round()
    }
  }

  async #round(): Promise<void> {
    await Promise.all(
      this.#cluster.endpoints.map(({ number }) =>
        this.#poll(number, this.#cluster.registry.spec(number)?.url ?? ''),
      ),
    )
  }

  async #poll(endpoint: number, url: string): Promise<void> {
    const isWell = (await read(`${url}/health`, this.#stopping.signal)) !== null
    const failures = isWell ? 0 : (this.#failures[endpoint] ?? 0) + 1
    this.#failures[endpoint] = failures
    if (isWell) await this.#learnBlockSize(url)
    if (isWell && performance.now() >= (this.#coolUntilMs[endpoint] ?? 0)) this.#set(endpoint, null)
    else if (failures >= FAILURES_MAX || this.#cluster.unavailable(endpoint) === 'starting')
      this.#set(endpoint, 'unhealthy')
  }

  /** Events name the block size too, but the first prompt is learnt before the first event. */
  async #learnBlockSize(url: string): Promise<void> {
    const unknown = this.#cluster.states.filter(({ index }) => index.blockTokens === 0)
    if (unknown.length === 0) return
    const metrics = await read(`${url}/metrics`, this.#stopping.signal)
    const size = /^vllm:cache_config_info\{[^}]*\bblock_size="(\d+)"/m.exec(metrics ?? '')?.[1]
    if (size) for (const { index } of unknown) index.assumeBlockTokens(Number(size))
  }

  #set(endpoint: number, reason: string | null): void {
    if (this.#cluster.unavailable(endpoint) === reason) return
    this.#cluster.setUnavailable(endpoint, reason)
    const name = this.#cluster.registry.endpoint(endpoint)?.name
    if (reason === null) this.#log.info({ endpoint: name }, 'endpoint takes requests')
    else this.#log.warn({ endpoint: name, reason }, 'endpoint is out')
  }
}

/** The body of a 200, or null. */
async function read(url: string, signal: AbortSignal): Promise<string | null> {
  try {
    const bound = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)])
    const { statusCode, body } = await request(url, { signal: bound })
    const text = await body.text()
    return statusCode === 200 ? text : null
  } catch {
    return null
  }
}
