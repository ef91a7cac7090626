/**
 * The whole product on one machine: engines and wide-area links, agents, and the edge with its directories on workerd.
 * Parts start in the order in which they need each other's addresses and stop in reverse.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { bundleEdge, canConnect, objectsFolderOf, startEdge } from './edge.ts'
import {
  agentConfig,
  CONTEXT_TOKENS_MAX,
  edgeConfig,
  ENGINE_ROLES,
  LOCAL_MODEL,
  LOCAL_REGIONS,
  rttBetweenMs,
  type EngineAddress,
  type LocalRegion,
} from './local/topology.ts'
import { Part, PartFailure } from './part.ts'
import { waitUntilLive } from './readiness.ts'
import { ROOT } from './root.ts'

export interface ProductOptions {
  readonly port: number
  /** How much faster than the real thing the simulated engines run. */
  readonly engineSpeed: number
  /** Folder for configurations, the model's files and logs of this run. */
  readonly folder: string
  readonly onProgress: (line: string) => void
  readonly onCrash: (failure: PartFailure, part: string) => void
}

export interface Product {
  /** Ends in `/v1`. */
  readonly baseUrl: string
  readonly apiKey: string
  readonly adminToken: string
  readonly parts: ReadonlyMap<string, Part>
  stop(): Promise<void>
}

const worldReadySchema = z.object({
  engines: z.array(
    z.object({ name: z.string(), url: z.string(), eventsEndpoint: z.string(), replayEndpoint: z.string() }),
  ),
  links: z.array(z.object({ name: z.string(), url: z.string() })),
})
const agentReadySchema = z.object({ url: z.string() })

export async function startProduct(options: ProductOptions): Promise<Product> {
  if (await canConnect(options.port)) {
    throw new PartFailure(
      `port ${options.port} is in use: is another isotherm running? Stop it, or choose a port with --port.`,
    )
  }
  await mkdir(options.folder, { recursive: true })
  await rm(objectsFolderOf(options, options.port), { recursive: true, force: true })
  const assembly = new Assembly(options)
  try {
    return await assembly.start()
  } catch (error) {
    await assembly.stop()
    throw error
  }
}

class Assembly {
  readonly #options: ProductOptions
  readonly #parts = new Map<string, Part>()
  readonly #secrets = {
    envelope: secret(),
    prefix: secret(),
    admin: secret(),
    apiKey: `iso-${secret()}`,
    clusters: Object.fromEntries(LOCAL_REGIONS.map(({ cluster }) => [cluster, secret()])),
  }
  #stopping = false

  constructor(options: ProductOptions) {
    this.#options = options
  }

  async start(): Promise<Product> {
    const { port, folder, onProgress } = this.#options
    onProgress('bundling the Worker, starting engines')
    const bundling = bundleEdge(folder)
    bundling.catch(() => undefined)
    const worlds = await settleAll(LOCAL_REGIONS.map((region) => this.#startWorld(region)))
    onProgress('starting agents')
    const agentUrls = await settleAll(
      LOCAL_REGIONS.map((region, index) => this.#startAgent(region, worlds[index] as World)),
    )
    const links = await this.#startLinks(agentUrls)
    const bundle = await bundling
    onProgress('starting the edge on workerd')
    const edge = await startEdge({ bundle, port, text: this.#edgeText(links), logFile: this.#log('edge') })
    this.#keep('edge', edge)
    const product: Product = {
      baseUrl: `http://127.0.0.1:${port}/v1`,
      apiKey: this.#secrets.apiKey,
      adminToken: this.#secrets.admin,
      parts: this.#parts,
      stop: () => this.stop(),
    }
    onProgress('waiting for the directories to know every cluster')
    await waitUntilLive({
      origin: `http://127.0.0.1:${port}`,
      adminToken: product.adminToken,
      regions: LOCAL_REGIONS.map(({ region }) => region),
      clusters: LOCAL_REGIONS.length,
      isStopping: () => this.#stopping,
    })
    return product
  }

  async stop(): Promise<void> {
    this.#stopping = true
    for (const part of [...this.#parts.values()].toReversed()) {
      // Engines and agents of all regions stop side by side; the edge, started last, stops first and alone.
      if (part.name.startsWith('edge')) await part.stop()
    }
    await Promise.all([...this.#parts.values()].map((part) => part.stop()))
  }

  /** One process: the engines of a region, and the links by which its agent reaches the directories. */
  async #startWorld(region: LocalRegion): Promise<World> {
    const { port, engineSpeed, folder } = this.#options
    const modelDir = join(folder, 'model')
    const config = {
      modelDir,
      engines: Object.keys(ENGINE_ROLES).map((name) => ({
        name: `${region.region}.${name}`,
        model: LOCAL_MODEL,
        speed: engineSpeed,
        profile: { contextTokensMax: CONTEXT_TOKENS_MAX },
      })),
      links: LOCAL_REGIONS.map((other) => ({
        name: other.region,
        target: { host: '127.0.0.1', port },
        rttMs: rttBetweenMs(region.region, other.region),
      })),
    }
    const ready = await this.#startSimulator(`engines ${region.region}`, config)
    return {
      engines: ready.engines,
      tokenizerDir: modelDir,
      directories: ready.links.map(({ name, url }) => ({ region: name, url })),
    }
  }

  /** The agent tokenises by the files that its engines' process wrote, as in production. */
  async #startAgent(region: LocalRegion, world: World): Promise<string> {
    const config = agentConfig({ region, port: 0, ...world, speed: this.#options.engineSpeed })
    const file = await this.#write(`agent-${region.region}.yaml`, config)
    const name = `agent ${region.region}`
    const { part, ready } = await Part.start({
      name,
      command: process.execPath,
      args: [join(ROOT, 'cluster-agent/main.ts'), '--config', file, '--exit-with-parent'],
      env: {
        ISOTHERM_ENVELOPE_SECRET: this.#secrets.envelope,
        ISOTHERM_PREFIX_SECRET: this.#secrets.prefix,
        ISOTHERM_CLUSTER_TOKEN: this.#secrets.clusters[region.cluster] ?? '',
      },
      logFile: this.#log(name),
    })
    this.#keep(name, part)
    return agentReadySchema.parse(ready).url
  }

  /** One process: the links from each edge region to each cluster. Gives cluster -> edge region -> URL. */
  async #startLinks(agentUrls: readonly string[]): Promise<Record<string, Record<string, string>>> {
    const links = LOCAL_REGIONS.flatMap((from) =>
      LOCAL_REGIONS.map((to, index) => {
        const agent = new URL(agentUrls[index] ?? '')
        return {
          name: `${from.region} ${to.cluster}`,
          target: { host: agent.hostname, port: Number(agent.port) },
          rttMs: rttBetweenMs(from.region, to.region),
        }
      }),
    )
    const ready = await this.#startSimulator('links', { engines: [], links })
    const entrances: Record<string, Record<string, string>> = {}
    for (const { name, url } of ready.links) {
      const [from = '', to = ''] = name.split(' ')
      entrances[to] = { ...entrances[to], [from]: url }
    }
    return entrances
  }

  async #startSimulator(name: string, config: unknown): Promise<z.infer<typeof worldReadySchema>> {
    const file = await this.#write(`${name.replaceAll(' ', '-')}.json`, config)
    const { part, ready } = await Part.start({
      name,
      command: process.execPath,
      args: [join(ROOT, 'simulator/serve.ts'), '--config', file, '--exit-with-parent'],
      logFile: this.#log(name),
    })
    this.#keep(name, part)
    return worldReadySchema.parse(ready)
  }

  #edgeText(entrances: Record<string, Record<string, string>>): Record<string, string> {
    const apiKeySha256 = createHash('sha256').update(this.#secrets.apiKey).digest('hex')
    return {
      ISOTHERM_CONFIG: JSON.stringify(edgeConfig({ entrances, apiKeySha256 })),
      ENVELOPE_SECRET: this.#secrets.envelope,
      PREFIX_SECRET: this.#secrets.prefix,
      CLUSTER_TOKENS: JSON.stringify(this.#secrets.clusters),
      ADMIN_TOKEN: this.#secrets.admin,
    }
  }

  #keep(name: string, part: Part): void {
    this.#parts.set(name, part)
    part.onCrash((failure) => {
      if (!this.#stopping) this.#options.onCrash(failure, name)
    })
  }

  #log(name: string): string {
    return join(this.#options.folder, 'logs', `${name.replaceAll(' ', '-')}.log`)
  }

  async #write(name: string, config: unknown): Promise<string> {
    const file = join(this.#options.folder, name)
    await writeFile(file, JSON.stringify(config, null, 2))
    return file
  }
}

interface World {
  readonly engines: readonly EngineAddress[]
  readonly tokenizerDir: string
  readonly directories: readonly { readonly region: string; readonly url: string }[]
}

/** Waits for every start before it reports the first failure: a part that comes up late must not be forgotten. */
async function settleAll<T>(starts: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(starts)
  return Promise.all(starts)
}

function secret(): string {
  return randomBytes(24).toString('base64url')
}
