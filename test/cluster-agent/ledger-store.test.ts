import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startAgent } from '../../cluster-agent/agent.ts'
import { Cluster } from '../../cluster-agent/cluster.ts'
import { LedgerStore } from '../../cluster-agent/ledger-store.ts'
import { startTestCluster } from '../support/cluster.ts'
import { until } from '../support/wait.ts'

let folder: string
const closers: (() => Promise<void>)[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isotherm-ledger-'))
})
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
  await rm(folder, { recursive: true })
})

const messages = [
  { role: 'system', content: 'bada dedo gigo haha lelo mimo nana popo rere soso tito vavo zizo '.repeat(60) },
  { role: 'user', content: 'first' },
]

async function ask(url: string, model: string, question: string) {
  const [system] = messages
  const body = { model, max_tokens: 2, messages: [system, { role: 'user', content: question }] }
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  await response.text()
  return response.headers.get('x-isotherm-agent-route') ?? ''
}

/** An agent that learnt one prompt and was stopped, and the file that it left. */
async function learnt() {
  const cluster = await startTestCluster({ engines: ['both-0', 'both-1'], agent: { stateDir: folder } })
  closers.push(() => cluster.stop())
  const { agent, model } = cluster
  await until('event streams to be live', () => agent.subscribers.every(({ state }) => state === 'live'))
  await ask(agent.url, model, 'first')
  await until(
    'the prompt to be learnt',
    () => agent.learner.pending === 0 && agent.learner.counts.learnt === 1,
  )
  const markers = agent.cluster.states[0]!.ledger.size
  expect(markers).toBeGreaterThan(3)
  await agent.stop(0)
  return { ...cluster, markers, config: agent.cluster.config, file: join(folder, 'prefix-ledger.bin') }
}

test('a restarted agent knows its prompts, and where they lie once events are replayed', async () => {
  const { config, model, markers } = await learnt()
  const again = await startAgent(config)
  closers.push(() => again.stop(0))
  const { ledger, ratio } = again.cluster.states[0]!
  expect(ledger.size).toBe(markers)
  expect(ratio.bytesPerToken).not.toBe(4)
  await until('event streams to be live', () => again.subscribers.every(({ state }) => state === 'live'))
  const route = await ask(again.url, model, 'second')
  expect(Number(/matched_tokens=(\d+)/.exec(route)?.[1])).toBeGreaterThan(700)
  expect(again.learner.counts.inline).toBe(0)
})

test('a file that is damaged, cut, foreign or no file is not used, and the agent starts', async () => {
  const { config, file } = await learnt()
  const good = await readFile(file)
  const warnings: string[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => void warnings.push(line) })
  const restore = () => new LedgerStore(new Cluster(config), folder, log).restore()
  expect(await restore()).toBeGreaterThan(3)
  const flipped = Buffer.from(good)
  flipped[flipped.length - 3]! ^= 1
  const cases: [string | Buffer, RegExp][] = [
    [flipped, /damaged/],
    [good.subarray(0, good.length - 8), /damaged/],
    ['', /no header/],
    ['{}\n', /./],
    [Buffer.alloc(100_000, 1), /no header/],
    [
      String(good.subarray(0, good.indexOf(10) + 1)).replace(/"secret":"[0-9a-f]+"/, '"secret":"x"'),
      /another prefix secret/,
    ],
  ]
  for (const [content, reason] of cases) {
    await writeFile(file, content)
    warnings.length = 0
    expect(await restore()).toBe(0)
    expect(warnings.join()).toMatch(reason)
  }
  await rm(file)
  warnings.length = 0
  expect(await restore()).toBe(0)
  expect(warnings).toEqual([])
  const agent = await startAgent({ ...config, stateDir: join(folder, 'made', 'when', 'missing') })
  await agent.stop(0)
})
