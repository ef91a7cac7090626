/** What the agent learns of prompts and answers, before simulated engines on real sockets. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { Scopes } from '../../cluster-agent/scope.ts'
import { demoTokenizerFiles } from '../../simulator/model/tokenizer-files.ts'
import {
  startTestCluster,
  TEST_SECRETS,
  type TestCluster,
  type TestClusterOptions,
} from '../support/cluster.ts'
import { until } from '../support/wait.ts'

let cluster: TestCluster
const folders: string[] = []
afterEach(async () => {
  await cluster?.stop()
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true })
})

async function start(options?: TestClusterOptions): Promise<void> {
  cluster = await startTestCluster(options)
  await until('event streams to be live', () =>
    cluster.agent.subscribers.every(({ state }) => state === 'live'),
  )
}

interface Message {
  readonly role: string
  readonly content: string
}
interface Turn {
  readonly answer: Message
  readonly matched: number
  readonly cached: number
  readonly promptTokens: number
  readonly prefill: string
}

async function ask(
  messages: readonly Message[],
  fields: object = {},
  url = cluster.agent.url,
): Promise<Turn> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: cluster.model, max_tokens: 80, ignore_eos: true, messages, ...fields }),
  })
  const header = response.headers.get('x-isotherm-agent-route') ?? ''
  const route = Object.fromEntries(header.split('; ').map((pair) => pair.split('=') as [string, string]))
  const text = await response.text()
  const chunks = text.startsWith('data: ')
    ? [...text.matchAll(/^data: (\{.*\})$/gm)].map(([, json]) => JSON.parse(json!) as Chunk)
    : [JSON.parse(text) as Chunk]
  const usage = chunks.find((chunk) => chunk.usage)?.usage
  return {
    answer: { role: 'assistant', content: chunks.map(wordsOf).join('') },
    matched: Number(route['matched_tokens']),
    cached: usage?.prompt_tokens_details?.cached_tokens ?? 0,
    promptTokens: usage?.prompt_tokens ?? 0,
    prefill: route['prefill'] ?? '',
  }
}

interface Chunk {
  readonly choices: readonly { readonly delta?: { content?: string }; readonly message?: Message }[]
  readonly usage?: { prompt_tokens: number; prompt_tokens_details?: { cached_tokens: number } }
}
const wordsOf = ({ choices }: Chunk) => choices[0]?.delta?.content ?? choices[0]?.message?.content ?? ''

/** Until what was asked is learnt and every block of it announced. */
async function settled(): Promise<void> {
  await until('everything to be learnt', () => cluster.agent.learner.pending === 0)
  const truth = () => cluster.engines.map((engine) => new Set(engine.residency().gpu).size)
  const known = () =>
    cluster.engines.map((_, i) => cluster.agent.cluster.states[0]!.index.residentHashes(i, 1).length)
  await until('the index to hold what the engines hold', () => truth().join() === known().join())
}

const SYSTEM = {
  role: 'system',
  content: 'bada dedo gigo haha lelo mimo nana popo rere soso tito vavo zizo '.repeat(40),
}
const user = (content: string) => ({ role: 'user', content })

test.each<[string, object, boolean]>([
  ['whole', {}, false],
  ['streamed', { stream: true, stream_options: { include_usage: true } }, false],
  ['streamed and tokenised by an engine', { stream: true, stream_options: { include_usage: true } }, true],
])('the next turn matches the blocks of the answer too: %s', async (_, fields, withoutFiles) => {
  await start({ engines: ['both-0'], withoutFiles })
  const messages: Message[] = [SYSTEM, user('bada dedo')]
  let before = 0
  for (const question of ['gigo haha', 'lelo mimo', 'nana popo']) {
    const turn = await ask(messages, fields)
    // To within the block that the last certain token lies in.
    expect(Math.abs(turn.matched - turn.cached)).toBeLessThanOrEqual(16)
    if (before > 0) expect(turn.matched).toBeGreaterThan(before + 60)
    before = turn.promptTokens
    await settled()
    messages.push(turn.answer, user(question))
  }
})

test('files that render otherwise than the engine are named and not used', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'isotherm-other-'))
  folders.push(folder)
  const { tokenizerJson, tokenizerConfigJson } = demoTokenizerFiles()
  const config = JSON.parse(tokenizerConfigJson) as { chat_template: string }
  const other = { ...config, chat_template: `PREAMBLE ${config.chat_template}` }
  await writeFile(join(folder, 'tokenizer.json'), tokenizerJson)
  await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(other))
  const base = { model: 'isotherm-demo', contextTokensMax: 32_768, kvBytesPerToken: 262_144 }
  await start({ engines: ['both-0'], agent: { models: [{ ...base, tokenizerDir: folder }] } })
  const { understanding } = cluster.agent.learner
  await until('the files to be compared', () => understanding.parity('isotherm-demo').size > 0)
  expect(Object.fromEntries(understanding.parity('isotherm-demo'))).toMatchObject({
    text: 'same',
    chat: 'different',
  })
  await ask([SYSTEM, user('first')])
  await settled()
  const next = await ask([SYSTEM, user('second')])
  expect(next.cached).toBeGreaterThan(400)
  expect(Math.abs(next.matched - next.cached)).toBeLessThanOrEqual(16)
})

test('an agent that starts beside warm engines understands a prompt before it routes it', async () => {
  // Slow engines: what waits for the tokenizer waits a small part of a prefill.
  await start({ engines: ['both-0', 'both-1'], engine: { speed: 0.2 } })
  const { understanding } = cluster.agent.learner
  await until('the files to be read', () => understanding.parity('isotherm-demo').size > 0)
  const { cacheSalt } = new Scopes(TEST_SECRETS.ISOTHERM_PREFIX_SECRET).keysOf('test')
  const system = { role: 'system', content: SYSTEM.content.repeat(3) }
  // A turn that another agent has routed: this one knows its blocks, not its markers.
  await ask([system, user('first')], { cache_salt: cacheSalt, max_tokens: 1 }, cluster.engines[1]!.url)
  await settled()
  const turn = await ask([system, user('second')], { max_tokens: 1 })
  expect(turn.prefill).toBe('test.both-1')
  expect(turn.matched).toBeGreaterThan(1000)
  expect(cluster.agent.learner.counts.inline).toBeGreaterThan(0)
})
