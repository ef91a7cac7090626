import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { startTestCluster, type TestCluster } from '../support/cluster.ts'
import { until } from '../support/wait.ts'

let cluster: TestCluster

afterEach(() => cluster?.stop())

const ask = (content: string, fields: Record<string, unknown> = {}) =>
  fetch(`${cluster.agent.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: cluster.model,
      messages: [{ role: 'user', content }],
      max_tokens: 4,
      ...fields,
    }),
  })
const isOpen = (number: number) => cluster.agent.cluster.unavailable(number) === null

test('endpoints come and go under requests, and no number is taken over too early', async () => {
  cluster = await startTestCluster({ engine: { speed: 1 } })
  const { agent } = cluster
  const { registry, bookings, states } = agent.cluster
  const [first, second] = agent.cluster.config.endpoints
  await until('both endpoints', () => isOpen(0) && isOpen(1))

  agent.roster.apply([second!])
  expect(agent.cluster.endpoints.map(({ number }) => number)).toEqual([1])
  expect((await ask('only the second is left')).headers.get('x-isotherm-agent-route')).toContain(
    `prefill=${second!.endpoint}`,
  )
  await until('the index to hold its blocks', () => states[0]!.index.residentHashes(1, 1).length > 0)

  const running = await ask('a long answer', { stream: true, max_tokens: 600, ignore_eos: true })
  agent.roster.apply([first!])
  await until('the first to take requests again, under another number', () => isOpen(2))
  await until(
    'what the second held to be forgotten',
    () => states[0]!.index.residentHashes(1, 1).length === 0,
  )
  expect(registry.endpoint(1)?.name).toBe(second!.endpoint)
  expect(await running.text()).toContain('[DONE]')
  await until('its number to be released', () => registry.endpoint(1) === null)
  expect(bookings.count).toBe(0)
  expect((await ask('and on')).headers.get('x-isotherm-agent-route')).toContain(`prefill=${first!.endpoint}`)
  expect(agent.subscribers.length).toBe(1)
})

test('an endpoint that drains ends what it has and takes nothing more', async () => {
  cluster = await startTestCluster({ engine: { speed: 1 } })
  const { agent } = cluster
  const [first, second] = agent.cluster.config.endpoints
  await until('both endpoints', () => isOpen(0) && isOpen(1))
  const running = await Promise.all(
    Array.from({ length: 4 }, (_, i) =>
      ask(`answer ${i}`, { stream: true, max_tokens: 60, ignore_eos: true }),
    ),
  )
  agent.roster.apply([{ ...first!, isServing: false }, second!])
  expect(agent.cluster.unavailable(0)).toBe('draining')
  for (let i = 0; i < 3; i++) {
    const route = (await ask(`new ${i}`)).headers.get('x-isotherm-agent-route')
    expect(route).toContain(`prefill=${second!.endpoint}`)
    expect(route).toContain(`decode=${second!.endpoint}`)
  }
  for (const response of running) expect(await response.text()).toContain('[DONE]')
  agent.roster.apply([first!, second!])
  await until('it to take requests again', () => isOpen(0))
})

test('more endpoints than there may be are refused and taken when there is room', async () => {
  cluster = await startTestCluster({ agent: { endpointsMax: 2 } })
  const { agent } = cluster
  const [first, second] = agent.cluster.config.endpoints
  agent.roster.apply([first!, second!, { ...first!, endpoint: 'third' }])
  expect(agent.roster.refused).toBe(1)
  expect(agent.cluster.endpoints).toHaveLength(2)
  agent.roster.apply([second!, { ...first!, endpoint: 'third' }])
  await until('the third', () => agent.cluster.endpoints.some(({ name }) => name === 'third'))
})

test('a file of endpoints is followed while requests run', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'isotherm-roster-'))
  const path = join(folder, 'endpoints.json')
  const write = (endpoints: readonly object[]) => writeFile(path, JSON.stringify({ endpoints }))
  await write([])
  cluster = await startTestCluster({ agent: { discovery: { file: path }, endpoints: [] } })
  expect((await ask('nobody is there')).status).toBe(503)
  const engine = cluster.engines[0]!
  await write([
    {
      endpoint: 'from-file',
      url: engine.url,
      events: engine.eventsEndpoint,
      replay: engine.replayEndpoint,
      profile: { prefill: { fixedMs: 1, msPerToken: 1, msPerTokenPair: 0 }, decodeStepMs: 1, kvTokens: 9999 },
    },
  ])
  await until('the endpoint of the file', () => isOpen(0))
  expect((await ask('somebody is there')).headers.get('x-isotherm-agent-route')).toContain('from-file')
  await rm(folder, { recursive: true })
})
