/** What a review of the agent found at fault, each with what holds instead. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Tokenizer } from 'tokenizers'
import { afterEach, expect, test } from 'vitest'
import { startAgent } from '../../../cluster-agent/agent.ts'
import { BlockIndex } from '../../../cluster-agent/blocks/block-index.ts'
import type { StoredEvent } from '../../../cluster-agent/events/kv-event.ts'
import { PrefixLedger } from '../../../cluster-agent/ledger/prefix-ledger.ts'
import { certainTokens } from '../../../cluster-agent/prompt/alignment.ts'
import { enterPrompt } from '../../../cluster-agent/prompt/chain-marks.ts'
import { wordText } from '../../../simulator/model/vocabulary.ts'
import { until } from '../../support/wait.ts'
import { MODEL, routeOf, startRig, type EngineSpec, type Rig } from './rig.ts'

const GPU = 1
/** A decode endpoint that looks slow at prefill, so that the agent splits the request. */
const SPLIT: readonly EngineSpec[] = [
  { name: 'p', role: 'prefill' },
  { name: 'd', role: 'decode', prefillFactor: 50 },
]

interface Answer {
  readonly choices: readonly { text?: string; message?: { content: string } }[]
  readonly usage: { prompt_tokens: number; prompt_tokens_details: { cached_tokens: number } }
}

const rigs: Rig[] = []
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.stop()
})

async function open(...options: Parameters<typeof startRig>): Promise<Rig> {
  const rig = await startRig(...options)
  rigs.push(rig)
  return rig
}

function words(from: number, count: number): string {
  return Array.from({ length: count }, (_, i) => wordText((from + i * 7) % 4096)).join(' ')
}

function ask(content: string) {
  return [{ role: 'user', content }]
}

function post(url: string, path: string, body: unknown): Promise<Response> {
  return fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
}

/** A response that the test's preparation needs: the fault under test is not here. */
async function answerOf(response: Response): Promise<Answer> {
  return (await response.json()) as Answer
}

function stored(hashes: bigint[], parent: bigint | null, tokens: number[], group = 0): StoredEvent {
  const plain = { lora: null, extraKeys: [], medium: 'GPU', groupKind: 'full_attention' } as const
  return { kind: 'stored', hashes, parent, tokens, blockTokens: 2, group, ...plain }
}

test('several answers of one prompt are those of a single engine: params are good for one sequence', async () => {
  const rig = await open(SPLIT)
  const body = { model: MODEL, messages: ask(words(99, 3000)), max_tokens: 12, n: 2 }
  const through = await answerOf(await post(rig.agent.url, '/v1/chat/completions', body))
  const alone = await answerOf(await post(rig.engine('p').url, '/v1/chat/completions', body))
  expect(through.choices.map(({ message }) => message)).toEqual(alone.choices.map(({ message }) => message))
})

test('several prompts in one request are answered each for itself', async () => {
  const rig = await open(SPLIT)
  const body = { model: MODEL, prompt: [words(500, 2500), words(900, 2500)], max_tokens: 8 }
  const through = await answerOf(await post(rig.agent.url, '/v1/completions', body))
  const alone = await answerOf(await post(rig.engine('p').url, '/v1/completions', body))
  expect(through.choices.map(({ text }) => text)).toEqual(alone.choices.map(({ text }) => text))
})

test('one request that every engine answers with 500 does not take the cluster from others', async () => {
  const rig = await open([
    { name: 'a', role: 'both' },
    { name: 'b', role: 'both' },
  ])
  for (const engine of rig.engines.values()) engine.faults.failStatus = 500
  await (await rig.complete({ messages: ask('poison'), max_tokens: 1 })).text()
  for (const engine of rig.engines.values()) engine.faults.failStatus = null
  const next = await rig.complete({ messages: ask('another'), max_tokens: 1 })
  await next.text()
  expect(next.status).toBe(200)
})

test('two requests that a caller gave one id have a booking each', async () => {
  const rig = await open([{ name: 'a', role: 'both' }])
  const headers = { 'x-request-id': 'same' }
  const long = await rig.complete(
    { messages: ask('long'), max_tokens: 20_000, ignore_eos: true, stream: true },
    { headers },
  )
  await (await rig.complete({ messages: ask('short'), max_tokens: 1 }, { headers })).text()
  await until('the short one is over', () => rig.engine('a').stats().running === 1)
  const { count } = rig.agent.cluster.bookings
  await long.body?.cancel()
  expect(count).toBe(1)
})

test('blocks that waited for their parent are gone with all others when the cache is cleared', () => {
  const index = new BlockIndex('m', 1)
  index.apply(0, stored([2n], 1n, [3, 4]))
  index.apply(0, { kind: 'cleared' })
  index.apply(0, stored([1n], null, [1, 2]))
  expect(index.residentHashes(0, GPU)).toEqual([1n])
})

test('a block that left one of two attention groups is no hit', () => {
  const index = new BlockIndex('m', 1)
  for (const group of [0, 1]) index.apply(0, stored([1n], null, [1, 2], group))
  index.apply(0, { kind: 'removed', hashes: [1n], medium: 'GPU', group: 0 })
  expect(index.residentHashes(0, GPU)).toEqual([])
})

test('the directories hear of a marker whose chain lost an earlier block', () => {
  const index: BlockIndex = new BlockIndex('m', 1, (block, endpoint) => ledger.noteBlock(block, endpoint))
  const ledger = new PrefixLedger(index, 1)
  index.apply(0, stored([1n, 2n], null, [1, 2, 3, 4]))
  const tokens = [1, 2, 3, 4]
  enterPrompt(index, ledger, {
    lora: null,
    salt: null,
    tokens,
    markers: Uint32Array.of(4, 7, 7),
    certainTokens: [4],
  })
  ledger.drainChanges(10)
  index.apply(0, { kind: 'removed', hashes: [1n], medium: 'GPU', group: 0 })
  expect(ledger.drainChanges(10)).toEqual([{ lo: 7, hi: 7, tier: 0 }])
})

test('tokens are certain only where what follows the marker cannot change them', async () => {
  const tokenizer = Tokenizer.fromFile(join(import.meta.dirname, '../../fixtures/vllm/model/tokenizer.json'))
  const encode = (text: string) => tokenizer.encode(text, null, { addSpecialTokens: false })
  // The marker lies behind a space: whether that is a token of its own depends on the letter after it.
  const prefix = 'hello cache '
  const learnt = await encode(`${prefix} cache`)
  const other = await encode(`${prefix}a23`)
  const ends = learnt.getOffsets().map(([, end]) => end ?? 0)
  const count = certainTokens(`${prefix} cache`, ends, prefix.length)
  expect(learnt.getIds().slice(0, count)).toEqual(other.getIds().slice(0, count))
})

test('the matched tokens of a quick follow-up are those that the engine reports', async () => {
  const rig = await open([{ name: 'a', role: 'both' }])
  const first = ask(words(300, 900))
  await (await rig.complete({ messages: first, max_tokens: 1 })).text()
  await until('the prompt is learnt', () => rig.agent.learner.counts.learnt === 1)
  await until('its blocks are known', () => rig.agent.cluster.states[0]?.index.residentHashes(0, GPU).length)
  const second = await rig.complete({ messages: [...first, ...ask(words(9, 30))], max_tokens: 1 })
  const { usage } = await answerOf(second)
  // An estimate may round down by the block that holds the template's own tokens, never up.
  expect(Number(routeOf(second)['matched_tokens'])).toBeLessThanOrEqual(
    usage.prompt_tokens_details.cached_tokens,
  )
})

test('a cold hand-off between engines of 0.23 reports no cached tokens', async () => {
  const rig = await open(SPLIT.map((spec) => ({ ...spec, version: '0.23.0' as const })))
  const { usage } = await answerOf(await rig.complete({ messages: ask(words(70, 3000)), max_tokens: 3 }))
  expect(usage.prompt_tokens_details?.cached_tokens ?? 0).toBe(0)
})

test('an overlong prompt gets the refusal of the engine, also after a short prompt', async () => {
  const rig = await open([{ name: 'a', role: 'both' }])
  await (await rig.complete({ messages: ask('x'), max_tokens: 1 })).text()
  await until('the short prompt is learnt', () => rig.agent.learner.counts.learnt === 1)
  const response = await post(rig.agent.url, '/v1/completions', { model: MODEL, prompt: words(1, 300_000) })
  await response.text()
  expect(response.status).toBe(400)
})

test('an engine that dies in the middle of an event does not spoil the error event', async () => {
  const { config } = (await open([{ name: 'a', role: 'both' }])).agent.cluster
  const [endpoint] = config.endpoints
  const engine = createServer((request, response) => {
    if (request.method === 'GET') return void response.end()
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: {"id":"x"}\n\ndata: {"id":"x","cho', () => response.destroy())
  })
  await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', resolve))
  const { port } = engine.address() as AddressInfo
  const agent = await startAgent({
    ...config,
    endpoints: [{ ...endpoint!, url: `http://127.0.0.1:${port}` }],
  })
  const body = { model: MODEL, messages: ask('x'), stream: true }
  const text = await (await post(agent.url, '/v1/chat/completions', body)).text()
  await agent.stop(0)
  engine.closeAllConnections()
  engine.close()
  expect(text.split('\n')).toContainEqual(expect.stringMatching(/^data: \{"error":/))
})
