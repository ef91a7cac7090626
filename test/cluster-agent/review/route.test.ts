/** The whole route through the agent with simulated engines: real HTTP, real ZMQ. */
import { afterEach, expect, test } from 'vitest'
import { wordText } from '../../../simulator/model/vocabulary.ts'
import { until } from '../../support/wait.ts'
import { routeOf, startRig, type Rig } from './rig.ts'

let rig: Rig
afterEach(() => rig.stop())

const words = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => wordText((from + i * 7) % 4096)).join(' ')
const ask = (text: string) => [{ role: 'user', content: text }]
interface Answer {
  choices: { message: { content: string } }[]
  usage: { prompt_tokens: number; prompt_tokens_details: { cached_tokens: number } | null }
}

/** The first prompt tells the agent the block size. */
async function warmUp() {
  const response = await rig.complete({ messages: ask(words(1, 40)), max_tokens: 2 })
  expect(response.status).toBe(200)
  await response.json()
  await until('the block size', () => rig.agent.cluster.states[0]!.index.blockTokens > 0)
  await until('no bookings', () => rig.agent.cluster.bookings.count === 0)
}

test('a hand-off gives the answer that a single engine gives', async () => {
  rig = await startRig([
    { name: 'p', role: 'prefill' },
    { name: 'd', role: 'decode' },
  ])
  const body = { messages: ask(words(50, 3000)), max_tokens: 12 }
  const handed = await rig.complete(body)
  expect(handed.status).toBe(200)
  expect(routeOf(handed)).toMatchObject({ prefill: 'p', decode: 'd' })
  const text = ((await handed.json()) as Answer).choices[0]!.message.content
  const alone = await fetch(`${rig.engine('p').url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'isotherm-demo', ...body }),
  })
  expect(text).toBe(((await alone.json()) as Answer).choices[0]!.message.content)
  await until('no bookings', () => rig.agent.cluster.bookings.count === 0)
})

test('a follow-up goes to the endpoint that holds it, and matched tokens equal cached tokens', async () => {
  rig = await startRig([
    { name: 'a', role: 'both' },
    { name: 'b', role: 'both' },
  ])
  await warmUp()
  const first = words(300, 900)
  const one = await rig.complete({ messages: ask(first), max_tokens: 4 })
  const { prefill } = routeOf(one)
  const answer = ((await one.json()) as Answer).choices[0]!.message.content
  await until('the prompt is learnt', () => rig.agent.learner.pending === 0)
  const two = await rig.complete({
    messages: [...ask(first), { role: 'assistant', content: answer }, ...ask(words(9, 30))],
    max_tokens: 2,
  })
  const route = routeOf(two)
  const { usage } = (await two.json()) as Answer
  expect(route['prefill']).toBe(prefill)
  expect(usage.prompt_tokens_details!.cached_tokens).toBeGreaterThan(800)
  expect({ matched: Number(route['matched_tokens']), prompt: usage.prompt_tokens }).toEqual({
    matched: usage.prompt_tokens_details!.cached_tokens,
    prompt: usage.prompt_tokens,
  })
})
