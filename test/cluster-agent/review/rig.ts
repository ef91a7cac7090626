/** A cluster for review tests: simulated engines, an agent that takes requests without an envelope, and its own counts. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startAgent, type RunningAgent } from '../../../cluster-agent/agent.ts'
import { parseAgentConfig } from '../../../cluster-agent/config.ts'
import type { Role } from '../../../cluster-agent/routing/endpoint.ts'
import { startEngine, type RunningEngine } from '../../../simulator/engine-server.ts'
import { demoTokenizerFiles } from '../../../simulator/model/tokenizer-files.ts'

export const MODEL = 'isotherm-demo'
const SPEED = 20
const SECRETS = {
  ISOTHERM_ENVELOPE_SECRET: 'review-envelope-secret',
  ISOTHERM_PREFIX_SECRET: 'review-prefix-secret',
  ISOTHERM_CLUSTER_TOKEN: 'review-token',
}

export interface EngineSpec {
  readonly name: string
  readonly role: Role
  readonly version?: '0.32.0' | '0.23.0'
  /** What the agent believes a prefill costs there, as a multiple of the truth: steers the choice. */
  readonly prefillFactor?: number
}

export interface Rig {
  readonly agent: RunningAgent
  readonly engines: ReadonlyMap<string, RunningEngine>
  engine(name: string): RunningEngine
  complete(fields: Record<string, unknown>, init?: RequestInit): Promise<Response>
  stop(): Promise<void>
}

/** Every engine has the given role; times are the demo profile's, `speed` times as fast. */
export async function startRig(
  specs: readonly EngineSpec[],
  options: Record<string, unknown> = {},
  speed = SPEED,
): Promise<Rig> {
  const folder = await mkdtemp(join(tmpdir(), 'isotherm-review-'))
  const files = demoTokenizerFiles()
  await writeFile(join(folder, 'tokenizer.json'), files.tokenizerJson)
  await writeFile(join(folder, 'tokenizer_config.json'), files.tokenizerConfigJson)
  const engines = new Map<string, RunningEngine>()
  for (const { name, version } of specs)
    engines.set(name, await startEngine({ name, speed, ...(version ? { version } : {}) }))
  const config = parseAgentConfig(
    {
      cluster: 'review',
      region: 'review',
      listen: { host: '127.0.0.1', port: 0 },
      models: [{ model: MODEL, tokenizerDir: folder, contextTokensMax: 32_768, kvBytesPerToken: 262_144 }],
      endpoints: specs.map(({ name, role, version, prefillFactor = 1 }) => ({
        endpoint: name,
        url: engines.get(name)!.url,
        role,
        version: version ?? '0.32.0',
        events: engines.get(name)!.eventsEndpoint,
        replay: engines.get(name)!.replayEndpoint,
        profile: {
          prefill: {
            fixedMs: (30 / speed) * prefillFactor,
            msPerToken: prefillFactor / 15.928 / speed,
            msPerTokenPair: 2e-6 / speed,
          },
          decodeStepMs: 13 / speed,
          kvTokens: 307_328,
          transfer: { floorMs: 2 / speed, bytesPerMs: 40e6 * speed },
        },
      })),
      standalone: { tenant: 'review', shareScope: 'review' },
      ...options,
    },
    SECRETS,
  )
  const agent = await startAgent(config)
  return {
    agent,
    engines,
    engine: (name) => engines.get(name)!,
    complete: (fields, init = {}) =>
      fetch(`${agent.url}/v1/chat/completions`, {
        method: 'POST',
        body: JSON.stringify({ model: MODEL, ...fields }),
        ...init,
        headers: { 'content-type': 'application/json', ...(init.headers as Record<string, string>) },
      }),
    async stop() {
      await agent.stop(0)
      await Promise.all([...engines.values()].map((engine) => engine.stop()))
      await rm(folder, { recursive: true })
    },
  }
}

/** `key=value; ...` of the agent's route header. */
export function routeOf(response: Response): Record<string, string> {
  const header = response.headers.get('x-isotherm-agent-route') ?? ''
  return Object.fromEntries(header.split('; ').map((pair) => pair.split('=', 2) as [string, string]))
}
