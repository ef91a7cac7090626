/** Engines that die and come back at their addresses, under an agent that takes requests without an edge. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../cli/free-port.ts'
import { startAgent, type RunningAgent } from '../../cluster-agent/agent.ts'
import { parseAgentConfig } from '../../cluster-agent/config.ts'
import type { Role } from '../../cluster-agent/routing/endpoint.ts'
import type { EngineFaults } from '../../simulator/engine-options.ts'
import { startEngine, type RunningEngine } from '../../simulator/engine-server.ts'
import { demoTokenizerFiles } from '../../simulator/model/tokenizer-files.ts'

export const CHAOS_MODEL = 'isotherm-demo'
const SPEED = 20
/** Small: blocks come and go all the time. */
const KV_TOKENS = 24_576
const CPU_KV_TOKENS = 65_536
/** Slow enough that an engine can die in the middle of it. */
const TRANSFER = { floorMs: 600, bytesPerMs: 40e6 }
const SECRETS = {
  ISOTHERM_ENVELOPE_SECRET: 'chaos-envelope-secret',
  ISOTHERM_PREFIX_SECRET: 'chaos-prefix-secret',
  ISOTHERM_CLUSTER_TOKEN: 'chaos-cluster-token',
}

/** `prefillFactor`: what the agent believes a prefill costs there, as a multiple of the truth, so that requests are split.
 * `b0` never dies: every request can be served. */
const ENGINES: readonly { readonly name: string; readonly role: Role; readonly prefillFactor: number }[] = [
  { name: 'p0', role: 'prefill', prefillFactor: 1 },
  { name: 'p1', role: 'prefill', prefillFactor: 1 },
  { name: 'd0', role: 'decode', prefillFactor: 50 },
  { name: 'd1', role: 'decode', prefillFactor: 50 },
  { name: 'b0', role: 'both', prefillFactor: 2 },
]

export class ChaosCluster {
  readonly agent: RunningAgent
  /** An engine that no fault touches: what it answers is right. */
  readonly oracle: RunningEngine
  readonly #engines: Map<string, RunningEngine>
  readonly #folder: string

  private constructor(
    agent: RunningAgent,
    oracle: RunningEngine,
    engines: Map<string, RunningEngine>,
    folder: string,
  ) {
    this.agent = agent
    this.oracle = oracle
    this.#engines = engines
    this.#folder = folder
  }

  static async start(): Promise<ChaosCluster> {
    const folder = await mkdtemp(join(tmpdir(), 'isotherm-chaos-'))
    const files = demoTokenizerFiles()
    await writeFile(join(folder, 'tokenizer.json'), files.tokenizerJson)
    await writeFile(join(folder, 'tokenizer_config.json'), files.tokenizerConfigJson)
    const engines = new Map<string, RunningEngine>()
    for (const { name } of ENGINES) engines.set(name, await startChaosEngine(name))
    const oracle = await startEngine({ name: 'oracle', speed: 1000 })
    const config = agentConfig(engines, folder)
    return new ChaosCluster(await startAgent(parseAgentConfig(config, SECRETS)), oracle, engines, folder)
  }

  get engines(): readonly RunningEngine[] {
    return [...this.#engines.values()]
  }

  engine(name: string): RunningEngine {
    const engine = this.#engines.get(name)
    if (!engine) throw new Error(`no engine ${name}`)
    return engine
  }

  /** Another process at the same addresses, with the faults of the one before. */
  async revive(name: string): Promise<void> {
    const before = this.engine(name)
    const after = await startChaosEngine(name, before)
    Object.assign(after.faults, before.faults)
    this.#engines.set(name, after)
  }

  setFaults(faults: Partial<EngineFaults>): void {
    for (const { faults: own } of this.engines) Object.assign(own, faults)
  }

  /** Engines of which the agent believes something else than what they hold. */
  mistaken(): string[] {
    const [state] = this.agent.cluster.states
    return ENGINES.flatMap(({ name }, number) => {
      const { gpu, cpu } = this.engine(name).residency()
      const isTrue = [gpu, cpu].every((hashes, tier) => {
        const known = state?.index.residentHashes(number, tier + 1).map(String) ?? []
        const held = new Set(hashes)
        return known.length === held.size && known.every((hash) => held.has(hash))
      })
      return isTrue ? [] : [name]
    })
  }

  async stop(): Promise<void> {
    await this.agent.stop(0)
    await Promise.all([this.oracle, ...this.engines].map((engine) => engine.stop()))
    await rm(this.#folder, { recursive: true })
  }
}

/** At addresses that nobody else is given while it is dead. */
async function startChaosEngine(name: string, before?: RunningEngine): Promise<RunningEngine> {
  const portOf = (address?: string) =>
    address === undefined ? freePort() : Number(address.split(':').at(-1))
  return startEngine({
    name,
    speed: SPEED,
    profile: { kvTokens: KV_TOKENS, cpuKvTokens: CPU_KV_TOKENS, transfer: TRANSFER },
    port: await portOf(before?.url),
    eventsPort: await portOf(before?.eventsEndpoint),
    replayPort: await portOf(before?.replayEndpoint),
    sideChannelPort: before?.sideChannelPort ?? (await freePort()),
  })
}

function agentConfig(engines: ReadonlyMap<string, RunningEngine>, tokenizerDir: string): unknown {
  return {
    cluster: 'chaos',
    region: 'chaos',
    listen: { host: '127.0.0.1', port: 0 },
    models: [{ model: CHAOS_MODEL, tokenizerDir, contextTokensMax: KV_TOKENS, kvBytesPerToken: 262_144 }],
    endpoints: ENGINES.map(({ name, role, prefillFactor }) => ({
      endpoint: name,
      url: engines.get(name)?.url,
      role,
      version: '0.32.0',
      events: engines.get(name)?.eventsEndpoint,
      replay: engines.get(name)?.replayEndpoint,
      profile: {
        prefill: {
          fixedMs: (30 / SPEED) * prefillFactor,
          msPerToken: prefillFactor / 15.928 / SPEED,
          msPerTokenPair: 2e-6 / SPEED,
        },
        decodeStepMs: 13 / SPEED,
        kvTokens: KV_TOKENS,
        transfer: { floorMs: 2 / SPEED, bytesPerMs: 40e6 * SPEED },
      },
    })),
    // A busy machine is silent for a while too: engines that fall silent are another test's matter.
    silenceMsMax: 60_000,
    standalone: { tenant: 'chaos', shareScope: 'chaos' },
  }
}
