import { expect, test } from 'vitest'
import { measureReuse } from '../../../simulator/assess/reuse.ts'
import { BytesPerToken, TraceReader, type ReadTrace } from '../../../simulator/assess/trace-reader.ts'

const encoder = new TextEncoder()
const SYSTEM = { role: 'system', content: 'You answer in rhymes. '.repeat(60) }
const user = (content: string) => ({ role: 'user', content })
const bot = (content: string) => ({ role: 'assistant', content })
const QUESTION = 'Why is the sky blue? '.repeat(40)
const ANSWER = 'Light is scattered by what is small. '.repeat(30)

function read(lines: readonly (object | string)[], options: object = {}): ReadTrace {
  const reader = new TraceReader({ encoder, ...options })
  for (const [i, line] of lines.entries())
    reader.take(typeof line === 'string' ? line : JSON.stringify(line), i + 1)
  return reader.finish()
}

const idsOf = ({ requests }: ReadTrace) => requests.map(({ blockIds }) => blockIds)

test('equal beginnings are equal blocks, and what differs from there on is not', () => {
  const trace = read([
    { timestamp: 0, model: 'm', messages: [SYSTEM, user(QUESTION)] },
    { timestamp: 1000, model: 'm', messages: [SYSTEM, user('Another question. '.repeat(40))] },
  ])
  const [first = [], second = []] = idsOf(trace)
  const common = first.findIndex((id, i) => id !== second[i])
  // The system prompt has 1,320 bytes: five blocks of 256.
  expect(common).toBe(5)
  expect(second.slice(common).some((id) => first.includes(id))).toBe(false)
  expect(trace.requests[0]?.session).not.toBe(trace.requests[1]?.session)
})

test('a next turn finds the answer that was logged, and is the same session', () => {
  const turns = (answer: object) =>
    read([
      { timestamp: 0, model: 'm', messages: [SYSTEM, user(QUESTION)], response: answer },
      { timestamp: 9000, model: 'm', messages: [SYSTEM, user(QUESTION), bot(ANSWER), user('And at dusk?')] },
    ])
  const known = turns({ choices: [{ message: { ...bot(ANSWER), tool_calls: null } }] })
  const unknown = turns({ usage: { completion_tokens: 290 } })
  expect(known.requests[0]?.session).toBe(known.requests[1]?.session)
  const shareOf = ({ requests, blockTokens }: ReadTrace) =>
    measureReuse(requests, blockTokens).reusedTokens[1] ?? 0
  expect(shareOf(known)).toBeGreaterThan(shareOf(unknown) + 200)
  // All but the last incomplete block and the new question.
  expect(shareOf(known)).toBeGreaterThanOrEqual((known.requests[1]?.inputTokens ?? 0) - 128)
  expect(known.requests[0]?.outputTokens).toBe(Math.round((ANSWER.length + 12) / 4))
  expect(unknown.requests[0]?.outputTokens).toBe(290)
})

test('tenants share nothing, whatever their prompts; sessions go by name where they have one', () => {
  const line = { timestamp: 0, model: 'm', messages: [SYSTEM, user(QUESTION)] }
  const [a = [], b = [], c = []] = idsOf(
    read([
      { ...line, tenant: 'a' },
      { ...line, tenant: 'b' },
      { ...line, tenant: 'a', session_id: 's' },
    ]),
  )
  expect(a.some((id) => b.includes(id))).toBe(false)
  expect(c).toEqual(a)
  const named = read([
    { ...line, session_id: 's' },
    { ...line, session_id: 't' },
    { ...line, messages: [user('Something else.')], session_id: 's' },
  ])
  const [s, t, again] = named.requests.map(({ session }) => session)
  expect([s === t, s === again]).toEqual([false, true])
})

test('completions, wrapped lines and every kind of time are read', () => {
  const trace = read([
    {
      time: '2026-11-28T17:00:02Z',
      request: { model: 'm', prompt: QUESTION },
      response: { choices: [{ text: ANSWER }] },
    },
    { created: 1_795_885_201, body: { model: 'm', prompt: QUESTION + ANSWER } },
    { timestamp: 1_795_885_200_500, model: 'm', prompt: QUESTION },
  ])
  expect(trace.requests.map(({ timestampMs }) => timestampMs)).toEqual([0, 500, 1500])
  expect(trace.malformed.lines).toBe(0)
  const [short = [], long = [], whole = []] = idsOf(trace)
  expect(long.slice(0, short.length)).toEqual(short)
  expect(whole.slice(0, long.length)).toEqual(long.slice(0, whole.length))
})

test('malformed lines are counted and named by field, never by what they hold', () => {
  const good = { timestamp: 0, model: 'm', messages: [user(QUESTION)] }
  const trace = read([
    good,
    'SECRET is no JSON',
    { timestamp: 0, text: 'SECRET' },
    { timestamp: 'SECRET', messages: [user('x')] },
    { timestamp: 0, messages: [{ content: 'SECRET' }] },
    { timestamp: 0, messages: [] },
    { timestamp: 0, messages: [user('x')], usage: { prompt_tokens: 'SECRET' } },
    { messages: [user('SECRET')] },
    { timestamp: 0, input_length: 5, output_length: 5, hash_ids: [1] },
  ])
  expect(trace.requests).toHaveLength(1)
  expect(trace.malformed).toEqual({
    lines: 8,
    first: [
      'line 2: not JSON',
      "line 3: neither 'messages' nor 'prompt'",
      'line 4: timestamp is neither a number nor a date',
      "line 5: 'messages[0]' must be an object with a 'role'.",
      "line 6: 'messages' must be a non-empty array.",
    ],
  })
  expect(JSON.stringify(trace)).not.toContain('SECRET')
  expect(() => read([{ prompt: 7 }])).toThrow(/^no line is a request: line 1: 'prompt' must be/)
})

test('a log without times needs a rate, and takes one', () => {
  const line = { model: 'm', prompt: QUESTION }
  expect(() => read([line, line])).toThrow(/--rate/)
  const { requests } = read([line, line, line], { ratePerS: 4 })
  expect(requests.map(({ timestampMs }) => timestampMs)).toEqual([0, 250, 500])
})

test('only the requests of a model are played where one is named', () => {
  const lines = ['a', 'b', 'a'].map((model, i) => ({ timestamp: i, model, prompt: QUESTION }))
  expect(read(lines).models).toEqual(['a', 'b'])
  expect(read(lines, { model: 'a' }).requests).toHaveLength(2)
})

test('a line that was too long is counted like one that is wrong', () => {
  const reader = new TraceReader({ encoder })
  reader.take(null, 1)
  reader.take(JSON.stringify({ timestamp: 0, input_length: 600, output_length: 5, hash_ids: [0, 1] }), 2)
  const { format, blockTokens, malformed, requests } = reader.finish()
  expect([format, blockTokens, requests.length]).toEqual(['mooncake', 512, 1])
  expect(malformed.first).toEqual(['line 1: the line is too long'])
})

test("the length of a token is the log's own, and what was cached is told", () => {
  const line = (prompt: string, promptTokens: number) =>
    JSON.stringify({
      timestamp: 0,
      model: 'm',
      prompt,
      usage: {
        prompt_tokens: promptTokens,
        completion_tokens: 5,
        prompt_tokens_details: { cached_tokens: 100 },
      },
    })
  const ratio = new BytesPerToken(encoder)
  ratio.take('no JSON')
  ratio.take(null)
  expect(ratio.value).toBeUndefined()
  ratio.take(line('x'.repeat(997), 500))
  ratio.take(line('y'.repeat(997), 300))
  // 1,001 bytes: the model's name and the marks of structure come with the text.
  expect(ratio.value).toBeCloseTo(2.5, 1)
  const trace = read([line('x'.repeat(997), 500), line('y'.repeat(997), 300)], { bytesPerToken: ratio.value })
  expect(trace.requests.map(({ inputTokens }) => inputTokens)).toEqual([400, 400])
  expect(trace.cachedShareToday).toBe(0.25)
})
