/**
 * Two real engines that keep responses: what is read, followed and cancelled through the agent is what they say, and no API
 * finds another share scope's prompts in their caches.
 */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { askSealed, begin, cancel, retrieve, type SealedTarget } from '../support/sealed.ts'
import { until } from '../support/wait.ts'
import { startRealAgent, type RealAgent } from './agent.ts'
import { SECRETS } from './edge.ts'
import { BLOCK_TOKENS, MODEL, vllm, type Vllm } from './engine.ts'

const BLOCKS = 257
/** A response that takes all of it is made for longer than any test looks at it. */
const CONTEXT_TOKENS = (BLOCKS - 1) * BLOCK_TOKENS
const ENGINES = ['keeps-0', 'keeps-1']

let engines: readonly Vllm[] = []
let real: RealAgent
let target: SealedTarget

async function startAgentAnew(): Promise<void> {
  await real?.agent.stop(0)
  const endpoints = engines.map((engine) => ({ engine, role: 'both', msPerToken: 1, transferMs: 1 }) as const)
  real = await startRealAgent(endpoints, CONTEXT_TOKENS, { contextTokensMax: CONTEXT_TOKENS })
  target = { agent: real.agent, model: MODEL, envelopeSecret: SECRETS.ISOTHERM_ENVELOPE_SECRET }
  await until('event streams', () => real.agent.subscribers.every(({ state }) => state === 'live'))
  await until('versions', () => real.agent.cluster.endpoints.every(({ version }) => version !== null))
}

beforeAll(async () => {
  const env = { VLLM_ENABLE_RESPONSES_API_STORE: '1' }
  engines = await Promise.all(
    ENGINES.map((name) => vllm({ name, blocks: BLOCKS, contextTokens: CONTEXT_TOKENS, env })),
  )
  for (const engine of engines) await engine.start()
  await startAgentAnew()
}, 900_000)

afterAll(async () => {
  await real?.agent.stop(0)
  await Promise.all(engines.map((engine) => engine.kill()))
})

const newId = () => `resp_${randomBytes(16).toString('hex')}-real-AAAAAAAAAAAAAAAA`
const endless = { max_output_tokens: CONTEXT_TOKENS - 500, ignore_eos: true }

async function answerOf(asking: Promise<Response>): Promise<[number, Record<string, unknown>]> {
  const response = await asking
  return [response.status, (await response.json()) as Record<string, unknown>]
}

async function typesOf(asking: Promise<Response>): Promise<string[]> {
  const text = await (await asking).text()
  return [...text.matchAll(/^event: (.*)$/gm)].map(([, type]) => type ?? '')
}

test('what was answered is read again, also by an agent that did not send it', async () => {
  const id = newId()
  const answered = await answerOf(begin(target, id, {}))
  expect(answered).toMatchObject([200, { id, object: 'response' }])
  expect(await answerOf(retrieve(target, id))).toEqual(answered)
  await startAgentAnew()
  expect(await answerOf(retrieve(target, id))).toEqual(answered)
  expect(await answerOf(retrieve(target, newId()))).toMatchObject([
    404,
    { error: { code: 'response_not_found' } },
  ])
})

test('in the background it is queued, then whole, and its outcome has what it took', async () => {
  const id = newId()
  expect(await answerOf(begin(target, id, { background: true }))).toMatchObject([
    200,
    { id, status: 'queued', background: true, output: [], usage: null },
  ])
  const done = await until('the response', async () => {
    const [, body] = await answerOf(retrieve(target, id))
    return body['status'] === 'queued' ? null : body
  })
  expect(done).toMatchObject({ id, usage: { output_tokens: 4 } })
  const outcome = await until('the outcome', () => real.finished.at(-1))
  expect(outcome).toMatchObject({ end: 'complete', outputTokens: 4 })
  expect(await answerOf(cancel(target, id))).toMatchObject([
    400,
    { error: { message: 'Cannot cancel a synchronous response.', param: 'response_id' } },
  ])
})

test('events are kept of what is made in the background as a stream', async () => {
  const id = newId()
  const first = await typesOf(begin(target, id, { background: true, stream: true }))
  expect([first[0], first.at(-1)]).toEqual(['response.created', 'response.completed'])
  expect(await typesOf(retrieve(target, id, { stream: true }))).toEqual(first)
  expect(await typesOf(retrieve(target, id, { stream: true, startingAfter: 1 }))).toEqual(first.slice(2))
  const unkept = newId()
  await (await begin(target, unkept, {})).text()
  expect((await retrieve(target, unkept, { stream: true })).status).toBe(400)
})

test('a cancellation ends the work and whoever reads it', async () => {
  const id = newId()
  const making = begin(target, id, { ...endless, background: true, stream: true })
  await making
  const following = retrieve(target, id, { stream: true })
  await following
  expect(await answerOf(cancel(target, id))).toMatchObject([200, { id, status: 'cancelled' }])
  for (const types of await Promise.all([making, following].map(typesOf)))
    expect(types).not.toContain('response.completed')
  const [, body] = await answerOf(retrieve(target, id))
  expect(body).toMatchObject({ status: 'cancelled' })
  await until('every booking to end', () => real.agent.cluster.bookings.count === 0)
})

const LONG =
  'When the pool has no free block left, the engine removes the block that was used least. '.repeat(6)
const messages = [{ role: 'user', content: LONG }]
const BODIES = {
  '/v1/chat/completions': { messages, max_tokens: 2 },
  '/v1/responses': { input: LONG, max_output_tokens: 2, store: false },
  '/v1/messages': { messages, max_tokens: 2 },
}

describe.each(Object.entries(BODIES))('%s', (path, body) => {
  test('finds a prompt cached for its own scope only', async () => {
    const cached = async (shareScope: string) => {
      const response = await askSealed(target, {
        method: 'POST',
        path,
        body: { model: MODEL, ...body },
        envelope: {
          shareScope,
          model: MODEL,
          stream: false,
          outputTokensMax: 2,
          markers: '',
          promptBytes: LONG.length,
          deadlineMs: null,
        },
      })
      expect(response.status).toBe(200)
      const text = await response.text()
      return Number(/"(?:cached_tokens|cache_read_input_tokens)":(\d+)/.exec(text)?.[1])
    }
    const [own, other] = [`own of ${path}`, `other of ${path}`]
    // Either engine may be chosen; one of three times it is one that has it.
    const found = [await cached(own), await cached(own), await cached(own)]
    expect(found[0]).toBe(0)
    expect(Math.max(...found)).toBeGreaterThanOrEqual(BLOCK_TOKENS)
    for (let i = 0; i < 2; i++) expect(await cached(`${other} ${i}`)).toBe(0)
  })
})
