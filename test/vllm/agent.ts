/** An agent in front of real engines, and what came true of each request that it served. */
import { pino } from 'pino'
import { startAgent, type RunningAgent } from '../../cluster-agent/agent.ts'
import { parseAgentConfig } from '../../cluster-agent/config.ts'
import type { FinishedRequest } from '../../cluster-agent/finished-request.ts'
import type { Role } from '../../cluster-agent/routing/endpoint.ts'
import { CLUSTER, SECRETS } from './edge.ts'
import { CONTEXT_TOKENS, MODEL, MODEL_FOLDER, type Vllm } from './engine.ts'

export interface RealEndpoint {
  readonly engine: Vllm
  readonly role: Role
  /** What a token of prefill is believed to cost there: steers the choice. */
  readonly msPerToken: number
  /** What a hand-off to it is believed to cost. */
  readonly transferMs: number
}

export interface RealAgent {
  readonly agent: RunningAgent
  readonly finished: readonly FinishedRequest[]
  readonly log: readonly string[]
}

/** Of the tiny model: 2 layers, 2 heads of 32, keys and values, 4 bytes each. */
const KV_BYTES_PER_TOKEN = 2 * 2 * 32 * 2 * 4

export interface RealAgentOptions {
  /** Those that the engines serve. */
  readonly adapters?: readonly string[]
  readonly contextTokensMax?: number
}

export async function startRealAgent(
  endpoints: readonly RealEndpoint[],
  kvTokens: number,
  { adapters = [], contextTokensMax = CONTEXT_TOKENS }: RealAgentOptions = {},
): Promise<RealAgent> {
  const finished: FinishedRequest[] = []
  const log: string[] = []
  const model = { contextTokensMax, kvBytesPerToken: KV_BYTES_PER_TOKEN, tokenizerDir: MODEL_FOLDER }
  const config = parseAgentConfig(
    {
      cluster: CLUSTER,
      region: 'here',
      listen: { host: '127.0.0.1', port: 0 },
      silenceMsMax: 60_000,
      models: [
        { model: MODEL, ...model },
        ...adapters.map((adapter) => ({ model: adapter, adapterOf: MODEL, ...model })),
      ],
      endpoints: endpoints.map(({ engine, role, msPerToken, transferMs }) => ({
        endpoint: engine.name,
        url: engine.url,
        role,
        events: engine.events,
        replay: engine.replay,
        profile: {
          prefill: { fixedMs: 20, msPerToken, msPerTokenPair: 0 },
          decodeStepMs: 20,
          kvTokens,
          transfer: { floorMs: transferMs, bytesPerMs: 1e6 },
        },
      })),
    },
    SECRETS,
  )
  const logger = pino({ level: 'info' }, { write: (line: string) => log.push(line) })
  const agent = await startAgent(config, logger, [{ noteFinished: (request) => finished.push(request) }])
  return { agent, finished, log }
}
