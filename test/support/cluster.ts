/** An agent in front of simulated engines on real sockets, without the edge. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startAgent, type RunningAgent } from '../../cluster-agent/agent.ts'
import { parseAgentConfig } from '../../cluster-agent/config.ts'
import type { RequestObserver } from '../../cluster-agent/finished-request.ts'
import { agentConfig, LOCAL_MODEL, LOCAL_REGIONS } from '../../cli/local/topology.ts'
import type { EngineOptionsInput } from '../../simulator/engine-options.ts'
import { startEngine, type RunningEngine } from '../../simulator/engine-server.ts'
import { demoTokenizerFiles } from '../../simulator/model/tokenizer-files.ts'

export type EngineName = 'prefill-0' | 'prefill-1' | 'decode-0' | 'decode-1' | 'both-0' | 'both-1'

export interface TestCluster {
  readonly agent: RunningAgent
  readonly engines: readonly RunningEngine[]
  readonly model: string
  stop(): Promise<void>
}

export interface TestClusterOptions {
  readonly engines?: readonly EngineName[]
  readonly engine?: Partial<EngineOptionsInput>
  readonly agent?: Record<string, unknown>
  readonly observers?: readonly RequestObserver[]
  /** Requests need envelopes of the edge; default: they need none. */
  readonly needsEnvelope?: boolean
  /** Prompts are tokenised by an engine instead of by files. */
  readonly withoutFiles?: boolean
  /** Metrics and debug routes have no token. */
  readonly withoutAdminToken?: boolean
}

export const TEST_SECRETS = {
  ISOTHERM_ENVELOPE_SECRET: 'envelope-secret-of-the-tests',
  ISOTHERM_PREFIX_SECRET: 'prefix-secret-of-the-tests',
  ISOTHERM_CLUSTER_TOKEN: 'cluster-token-of-the-tests',
  ISOTHERM_ADMIN_TOKEN: 'admin-token-of-the-tests',
}
const SPEED = 20

export async function startTestCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'isotherm-cluster-'))
  const { tokenizerJson, tokenizerConfigJson } = demoTokenizerFiles()
  await writeFile(join(folder, 'tokenizer.json'), tokenizerJson)
  await writeFile(join(folder, 'tokenizer_config.json'), tokenizerConfigJson)
  const speed = options.engine?.speed ?? SPEED
  const engines = await Promise.all(
    (options.engines ?? ['both-0', 'both-1']).map((name) =>
      startEngine({ name: `test.${name}`, model: LOCAL_MODEL, ...options.engine, speed }),
    ),
  )
  const config = agentConfig({
    region: LOCAL_REGIONS[0]!,
    port: 0,
    engines,
    directories: [],
    tokenizerDir: folder,
    speed,
  })
  const models = options.withoutFiles
    ? config.models.map((model) => ({ ...model, tokenizerDir: undefined }))
    : config.models
  const agent = await startAgent(
    parseAgentConfig(
      {
        ...config,
        models,
        ...(options.needsEnvelope ? {} : { standalone: { tenant: 'test', shareScope: 'test' } }),
        ...options.agent,
      },
      { ...TEST_SECRETS, ...(options.withoutAdminToken ? { ISOTHERM_ADMIN_TOKEN: undefined } : {}) },
    ),
    undefined,
    options.observers,
  )
  return {
    agent,
    engines,
    model: LOCAL_MODEL,
    async stop() {
      await agent.stop(0)
      await Promise.all(engines.map((engine) => engine.stop()))
      await rm(folder, { recursive: true, force: true })
    },
  }
}
