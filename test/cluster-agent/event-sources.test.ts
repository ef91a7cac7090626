import { encode } from '@msgpack/msgpack'
import { afterEach, expect, test } from 'vitest'
import { Publisher } from 'zeromq'
import { startAgent, type RunningAgent } from '../../cluster-agent/agent.ts'
import { parseAgentConfig } from '../../cluster-agent/config.ts'
import { agentConfig, LOCAL_MODEL, LOCAL_REGIONS } from '../../cli/local/topology.ts'
import { startEngine } from '../../simulator/engine-server.ts'
import { seqFrame } from '../../simulator/wire/kv-frames.ts'
import { TEST_SECRETS } from '../support/cluster.ts'
import { until } from '../support/wait.ts'

/** An agent whose configuration does not say where its engines publish. */
const closing: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function start(more: Record<string, unknown>): Promise<{ agent: RunningAgent; engineUrl: string }> {
  const engine = await startEngine({ name: 'test.both-0', model: LOCAL_MODEL, speed: 20 })
  closing.push(() => engine.stop())
  const config = agentConfig({
    region: LOCAL_REGIONS[0]!,
    port: 0,
    engines: [engine],
    directories: [],
    speed: 20,
  })
  const endpoints = config.endpoints.map(({ events: _events, replay: _replay, ...endpoint }) => endpoint)
  const agent = await startAgent(
    parseAgentConfig(
      { ...config, endpoints, standalone: { tenant: 'test', shareScope: 'test' }, ...more },
      TEST_SECRETS,
    ),
  )
  closing.push(() => agent.stop(0))
  return { agent, engineUrl: engine.url }
}
const resident = (agent: RunningAgent) => agent.cluster.states[0]!.index.residentHashes(0, 1)

test('an engine that is asked where it publishes is followed from there, its history included', async () => {
  const { agent, engineUrl } = await start({})
  await (
    await fetch(`${engineUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: LOCAL_MODEL, prompt: 'text '.repeat(100), max_tokens: 1 }),
    })
  ).text()
  await until('its blocks to be known', () => resident(agent).length > 0)
  expect(agent.subscribers[0]?.state).toBe('live')
})

test('an engine that dials in is known by its address', async () => {
  // A port that was free a moment ago: the agent does not say which one it bound.
  const probe = new Publisher()
  await probe.bind('tcp://127.0.0.1:*')
  const address = probe.lastEndpoint!
  probe.close()
  const { agent, engineUrl } = await start({ eventsBind: address })
  const publisher = new Publisher({ linger: 0 })
  publisher.connect(address)
  closing.push(() => publisher.close())
  const topic = `kv@${engineUrl.replace('http://', '')}@${LOCAL_MODEL}`
  const payload = encode([1.5, [['BlockStored', [7], 0, [1, 2], 2, null, 'GPU']], 0])
  await until('its blocks to be known', async () => {
    await publisher.send([topic, seqFrame(1), payload])
    return resident(agent).length > 0
  })
  expect(resident(agent)).toEqual([7n])
})
