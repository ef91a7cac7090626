/**
 * The product with everything in reach of a test: the edge on bare workerd, agents, engines and links in this process,
 * so that a test can break any of them and look inside.
 */
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino, type Logger } from 'pino'
import { inject } from 'vitest'
import { objectsFolderOf, startEdge } from '../../cli/edge.ts'
import {
  agentConfig,
  edgeConfig,
  LOCAL_MODEL,
  LOCAL_REGIONS,
  type LocalRegion,
} from '../../cli/local/topology.ts'
import type { Part } from '../../cli/part.ts'
import { waitUntilLive } from '../../cli/readiness.ts'
import { startAgent, type RunningAgent } from '../../cluster-agent/agent.ts'
import { parseAgentConfig } from '../../cluster-agent/config.ts'
import type { EdgeConfigInput } from '../../protocol/edge-config.ts'
import { startEngine, type EngineOptions, type RunningEngine } from '../../simulator/engine-server.ts'
import { startLink, type RunningLink } from '../../simulator/link.ts'
import { demoTokenizerFiles } from '../../simulator/model/tokenizer-files.ts'
import { freePort } from '../../cli/free-port.ts'

export interface TestCluster {
  readonly region: LocalRegion
  readonly engines: readonly RunningEngine[]
  readonly agent: RunningAgent
  /** Between the edge and the agent. */
  readonly link: RunningLink
}

export interface TestProduct {
  readonly origin: string
  readonly baseUrl: string
  readonly apiKey: string
  readonly adminToken: string
  readonly model: string
  readonly clusters: readonly TestCluster[]
  readonly secrets: typeof SECRETS
  /** Everything that edge and agents write lies below these folders. */
  readonly folders: readonly string[]
  restartEdge(): Promise<void>
  stop(): Promise<void>
}

export interface TestProductOptions {
  readonly regions?: number
  readonly engines?: readonly ('prefill-0' | 'prefill-1' | 'decode-0' | 'decode-1' | 'both-0' | 'both-1')[]
  readonly engine?: Partial<EngineOptions>
  /** What the way to a cluster takes. Measured round trips settle at it, whatever the configuration says. */
  readonly rttMs?: (cluster: string) => number
  readonly edge?: (config: EdgeConfigInput) => EdgeConfigInput
  readonly silenceMsMax?: number
  /** Agents keep their state and log all that they would, into files. */
  readonly isWritten?: boolean
}

const SECRETS = {
  envelope: 'envelope-secret-of-the-tests',
  prefix: 'prefix-secret-of-the-tests',
  admin: 'admin-token',
}
const API_KEY = 'iso-test-key'
const SPEED = 20

/** Rejects when a part does not start, and leaves none behind. */
export async function startTestProduct(options: TestProductOptions = {}): Promise<TestProduct> {
  const parts = new StartedParts()
  try {
    return await startParts(options, parts)
  } catch (error) {
    await parts.stop()
    throw error
  }
}

/** What runs, to be stopped in the reverse of the order in which it started. */
class StartedParts {
  readonly #stops: (() => Promise<unknown>)[] = []

  add<P extends { stop(): Promise<unknown> }>(part: P): P {
    this.#stops.push(() => part.stop())
    return part
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.splice(0).toReversed()) await stop().catch(() => undefined)
  }
}

async function startParts(options: TestProductOptions, parts: StartedParts): Promise<TestProduct> {
  const folder = await mkdtemp(join(tmpdir(), 'isotherm-product-'))
  parts.add({ stop: () => rm(folder, { recursive: true, force: true }) })
  const regions = LOCAL_REGIONS.slice(0, options.regions ?? 2)
  const port = await freePort()
  const bundle = inject('bundle')
  // Another test may have had the port.
  await rm(objectsFolderOf(bundle, port), { recursive: true, force: true })
  const tokens = Object.fromEntries(regions.map(({ cluster }) => [cluster, `token-of-${cluster}`]))
  const { tokenizerJson, tokenizerConfigJson } = demoTokenizerFiles()
  await writeFile(join(folder, 'tokenizer.json'), tokenizerJson)
  await writeFile(join(folder, 'tokenizer_config.json'), tokenizerConfigJson)

  const starting = regions.map(async (region): Promise<TestCluster> => {
    const engines = await Promise.all(
      (options.engines ?? ['both-0', 'both-1']).map(async (name) =>
        parts.add(
          await startEngine({
            name: `${region.region}.${name}`,
            model: LOCAL_MODEL,
            speed: SPEED,
            ...options.engine,
          }),
        ),
      ),
    )
    const config = agentConfig({
      region,
      port: 0,
      engines,
      directories: regions.map((other) => ({ region: other.region, url: `http://127.0.0.1:${port}` })),
      tokenizerDir: folder,
      speed: options.engine?.speed ?? SPEED,
    })
    const { silenceMsMax } = options
    const agent = parts.add(
      await startAgent(
        parseAgentConfig(
          {
            ...config,
            ...(silenceMsMax === undefined ? {} : { silenceMsMax }),
            ...(options.isWritten ? { stateDir: join(folder, `state-of-${region.cluster}`) } : {}),
          },
          {
            ISOTHERM_ENVELOPE_SECRET: SECRETS.envelope,
            ISOTHERM_PREFIX_SECRET: SECRETS.prefix,
            ISOTHERM_CLUSTER_TOKEN: tokens[region.cluster] ?? '',
          },
        ),
        options.isWritten ? fileLog(join(folder, `${region.cluster}.log`)) : undefined,
      ),
    )
    const target = new URL(agent.url)
    const link = parts.add(
      await startLink({
        port: 0,
        target: { host: target.hostname, port: Number(target.port) },
        rttMs: options.rttMs?.(region.cluster) ?? 0,
      }),
    )
    return { region, engines, agent, link }
  })
  // When one fails the others are waited for all the same: they are to be stopped.
  await Promise.allSettled(starting)
  const clusters = await Promise.all(starting)

  const base = edgeConfig({
    entrances: Object.fromEntries(
      clusters.map(({ region, link }) => [
        region.cluster,
        Object.fromEntries(regions.map((r) => [r.region, link.url])),
      ]),
    ),
    apiKeySha256: createHash('sha256').update(API_KEY).digest('hex'),
  })
  const names = new Set(regions.map(({ region }) => region))
  const trimmed: EdgeConfigInput = {
    ...base,
    regions: base.regions.filter(({ region }) => names.has(region)),
    clusters: base.clusters.filter(({ region }) => names.has(region)),
  }
  const text = {
    ISOTHERM_CONFIG: JSON.stringify(options.edge ? options.edge(trimmed) : trimmed),
    ENVELOPE_SECRET: SECRETS.envelope,
    PREFIX_SECRET: SECRETS.prefix,
    CLUSTER_TOKENS: JSON.stringify(tokens),
    ADMIN_TOKEN: SECRETS.admin,
  }
  const origin = `http://127.0.0.1:${port}`
  let edge: Part | null = null
  parts.add({ stop: async () => edge?.stop() })
  const start = async (): Promise<void> => {
    edge = await startEdge({ bundle, port, text, logFile: join(folder, 'edge.log') })
    const wait = { origin, adminToken: SECRETS.admin, regions: [...names], clusters: regions.length }
    await waitUntilLive({ ...wait, isStopping: () => false })
  }
  await start()
  return {
    origin,
    baseUrl: `${origin}/v1`,
    apiKey: API_KEY,
    adminToken: SECRETS.admin,
    model: LOCAL_MODEL,
    clusters,
    secrets: SECRETS,
    folders: [folder, objectsFolderOf(bundle, port)],
    restartEdge: async () => {
      await edge?.stop()
      await start()
    },
    stop: () => parts.stop(),
  }
}

function fileLog(file: string): Logger {
  return pino({ level: 'trace' }, pino.destination({ dest: file, sync: true }))
}
