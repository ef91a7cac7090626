/** Data-parallel ranks behind one address and adapters in slots, on real sockets: what an engine says decides where a request goes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { Publisher } from 'zeromq'
import { startAgent, type RunningAgent } from '../../cluster-agent/agent.ts'
import { parseAgentConfig } from '../../cluster-agent/config.ts'
import { SPECULATION_MS } from '../../cluster-agent/routing/speculation.ts'
import { Scopes } from '../../cluster-agent/scope.ts'
import { demoTokenizerFiles } from '../../simulator/model/tokenizer-files.ts'
import { encodeBatch } from '../../simulator/wire/kv-batch.ts'
import { seqFrame } from '../../simulator/wire/kv-frames.ts'
import { TEST_SECRETS } from '../support/cluster.ts'
import { until } from '../support/wait.ts'

const MODEL = 'm'
const ADAPTER = 'tuned'
const SCOPE = 'test'
const BLOCK_TOKENS = 16
const closers: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

interface Post {
  readonly rank: string | undefined
  readonly model: unknown
}

/** Answers at once, and says of itself what `metrics` holds. */
async function startEngine(metrics = ''): Promise<{ url: string; posts: Post[] }> {
  const posts: Post[] = []
  const server: Server = createServer((request, response) => {
    if (request.url !== '/v1/completions') {
      response.end(request.url === '/metrics' ? metrics : '{}')
      return
    }
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { model } = JSON.parse(Buffer.concat(chunks).toString()) as { model: unknown }
      posts.push({ rank: request.headers['x-data-parallel-rank'] as string | undefined, model })
      const usage = { prompt_tokens: 96, completion_tokens: 1 }
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ choices: [{ text: 'ok' }], usage }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, posts }
}

async function startPublisher(): Promise<Publisher> {
  const publisher = new Publisher({ linger: 0 })
  await publisher.bind('tcp://127.0.0.1:*')
  closers.push(() => publisher.close())
  return publisher
}

async function start(endpoints: readonly object[]): Promise<RunningAgent> {
  const folder = await mkdtemp(join(tmpdir(), 'isotherm-ranks-'))
  const { tokenizerJson, tokenizerConfigJson } = demoTokenizerFiles()
  await writeFile(join(folder, 'tokenizer.json'), tokenizerJson)
  await writeFile(join(folder, 'tokenizer_config.json'), tokenizerConfigJson)
  closers.push(() => rm(folder, { recursive: true }))
  const sizes = { contextTokensMax: 32_768, kvBytesPerToken: 1000 }
  const agent = await startAgent(
    parseAgentConfig(
      {
        cluster: 'c',
        region: 'r',
        listen: { host: '127.0.0.1', port: 0 },
        models: [
          { model: MODEL, tokenizerDir: folder, ...sizes },
          { model: ADAPTER, adapterOf: MODEL, ...sizes },
        ],
        endpoints,
        standalone: { tenant: 't', shareScope: SCOPE },
      },
      TEST_SECRETS,
    ),
  )
  closers.push(() => agent.stop(0))
  return agent
}

const profile = (fixedMs: number) => ({
  prefill: { fixedMs, msPerToken: 1, msPerTokenPair: 0 },
  decodeStepMs: 1,
  kvTokens: 100_000,
})

async function ask(agent: RunningAgent, prompt: readonly number[], model = MODEL): Promise<string> {
  const response = await fetch(`${agent.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, prompt, max_tokens: 1 }),
  })
  await response.text()
  expect(response.status).toBe(200)
  return response.headers.get('x-isotherm-agent-route') ?? ''
}

test('of the ranks behind one address the one is steered to that says it holds the prompt', async () => {
  const engine = await startEngine()
  const publishers = [await startPublisher(), await startPublisher()]
  const agent = await start(
    publishers.map((publisher, rank) => ({
      endpoint: `e.${rank}`,
      url: engine.url,
      rank,
      events: publisher.lastEndpoint,
      profile: profile(1),
    })),
  )
  const { cacheSalt } = new Scopes(TEST_SECRETS.ISOTHERM_PREFIX_SECRET).keysOf(SCOPE)
  const prompts = [1000, 2000].map((from) => Array.from({ length: 96 }, (_, i) => from + i))
  const [{ index }] = agent.cluster.states as [(typeof agent.cluster.states)[number]]
  for (const [rank, tokens] of prompts.entries()) {
    const hashes = Array.from({ length: tokens.length / BLOCK_TOKENS }, (_, i) => BigInt(tokens[0]! + i))
    const salt = { salt: cacheSalt, sessionId: null }
    const event = {
      kind: 'stored',
      hashes,
      parent: null,
      tokens: Uint32Array.from(tokens),
      blockTokens: BLOCK_TOKENS,
      ...salt,
    } as const
    const payload = encodeBatch([event], 1.5 + rank, '0.32.0')
    payload[payload.length - 1] = rank
    await until(`rank ${rank} to be heard`, async () => {
      await publishers[rank]!.send(['', seqFrame(0), payload])
      return index.residentHashes(rank, 1).length === hashes.length
    })
  }
  // Learnt by being asked; where they went then is expected to hold them for a while.
  for (const prompt of prompts) await ask(agent, prompt)
  await until('both to be learnt', () => agent.learner.counts.learnt === 2)
  const learntMs = performance.now()
  await until('the expectation to end', () => performance.now() > learntMs + SPECULATION_MS)
  engine.posts.length = 0
  for (const rank of [1, 0]) {
    const route = await ask(agent, prompts[rank]!)
    expect(route).toContain(`prefill=e.${rank};`)
    expect(route).toMatch(/matched_tokens=(80|95|96);/)
  }
  expect(engine.posts.map(({ rank }) => rank)).toEqual(['1', '0'])
})

test('a request for an adapter goes where it is loaded, and one for its base model where that is cheaper', async () => {
  const loaded = `vllm:lora_requests_info{max_lora="1",running_lora_adapters="${ADAPTER}",waiting_lora_adapters=""} 1.0`
  const [near, far] = [await startEngine(), await startEngine(loaded)]
  const agent = await start(
    [near, far].map(({ url }, i) => ({
      endpoint: `e-${i}`,
      url,
      events: 'tcp://127.0.0.1:9',
      profile: profile(1 + i * 50),
    })),
  )
  await until('the adapter to be seen', () => {
    const { adapters } = agent.cluster
    return adapters.state(1, ADAPTER, performance.now()) === 'loaded'
  })
  const prompt = Array.from({ length: 40 }, (_, i) => 500 + i)
  expect(await ask(agent, prompt)).toContain('prefill=e-0;')
  expect(await ask(agent, prompt, ADAPTER)).toContain('prefill=e-1;')
  expect([near.posts, far.posts].map((posts) => posts.map(({ model }) => model))).toEqual([
    [MODEL],
    [ADAPTER],
  ])
})
