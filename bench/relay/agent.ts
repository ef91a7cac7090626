/** The agent as the relay bench runs it: exact residency, prompts learnt from files, no edge before it. */
import { startAgent } from '../../cluster-agent/agent.ts'
import { parseAgentConfig } from '../../cluster-agent/config.ts'
import { argumentOf, sayReady } from './process.ts'

const { config, secrets } = argumentOf() as { config: unknown; secrets: Record<string, string> }
const agent = await startAgent(parseAgentConfig(config, secrets))
const deadlineMs = performance.now() + 20_000
while (!agent.subscribers.every(({ state }) => state === 'live') && performance.now() < deadlineMs)
  await new Promise((resolve) => setTimeout(resolve, 20))
sayReady({ url: agent.url })
