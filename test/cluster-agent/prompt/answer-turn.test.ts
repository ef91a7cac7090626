import { expect, test } from 'vitest'
import { answerTurns } from '../../../cluster-agent/prompt/answer-turn.ts'
import { readExchanges } from '../../support/recorded.ts'

const BODY = { model: 'm', messages: [{ role: 'user', content: 'hi' }] }
const turnsOf = (answer: string, isStream: boolean) =>
  answerTurns('chat', BODY, answer, isStream).map(({ body, next }) => ({
    turn: (body['messages'] as unknown[]).at(-1),
    next,
  }))
const events = (...choices: object[]) =>
  choices.map((choice) => `data: ${JSON.stringify({ choices: [{ index: 0, ...choice }] })}\n\n`).join('') +
  'data: [DONE]\n\n'

test('a recorded stream is the turn that the same answer is whole', () => {
  const exchanges = readExchanges('v0.32.0', 'chat')
  const bodyOf = (name: string) => exchanges.find((one) => one.name === name)?.response
  const whole = turnsOf(JSON.stringify(bodyOf('warm')?.json), false)
  expect(turnsOf(bodyOf('stream')?.body ?? '', true)).toEqual(whole)
  expect(whole).toEqual([{ turn: { role: 'assistant', content: expect.any(String) }, next: 'user' }])
})

test('tool calls are put together from their deltas, and a tool speaks next', () => {
  const part = (index: number, rest: object) => ({ delta: { tool_calls: [{ index, ...rest }] } })
  const text = events(
    { delta: { role: 'assistant', content: '' } },
    part(0, { id: 'a', type: 'function', function: { name: 'find', arguments: '' } }),
    part(0, { function: { arguments: '{"x"' } }),
    part(0, { function: { arguments: ':1}' } }),
    part(1, { id: 'b', type: 'function', function: { name: 'get', arguments: '{}' } }),
    part(900, { function: { arguments: 'x' } }),
    { delta: {}, finish_reason: 'tool_calls' },
  )
  const call = (id: string, name: string, args: string) => ({
    id,
    type: 'function',
    function: { name, arguments: args },
  })
  expect(turnsOf(text, true)).toEqual([
    {
      turn: {
        role: 'assistant',
        content: null,
        tool_calls: [call('a', 'find', '{"x":1}'), call('b', 'get', '{}')],
      },
      next: 'tool',
    },
  ])
})

test('an answer with reasoning may come back with it or without', () => {
  const text = events({ delta: { reasoning: 'hm' } }, { delta: { content: 'yes' }, finish_reason: 'stop' })
  expect(turnsOf(text, true).map(({ turn }) => turn)).toEqual([
    { role: 'assistant', content: 'yes' },
    { role: 'assistant', content: 'yes', reasoning: 'hm' },
  ])
})

test.each<[string, string, boolean]>([
  ['a stream that did not end', events({ delta: { content: 'x' } }), true],
  ['a stream of another choice', events({ index: 1, delta: { content: 'x' }, finish_reason: 'stop' }), true],
  ['garbage', 'data: {garbage\n\n', true],
  ['no JSON', 'x', false],
  ['several choices', '{"choices":[{"message":{}},{"message":{}}]}', false],
  ['an error', '{"error":{}}', false],
])('%s is no turn', (_, text, isStream) => {
  expect(turnsOf(text, isStream)).toEqual([])
})

test('other APIs and bodies without messages have none', () => {
  expect(answerTurns('completions', { prompt: 'x' }, '{"choices":[{"text":"y"}]}', false)).toEqual([])
  expect(answerTurns('chat', {}, '{"choices":[{"message":{"content":"y"}}]}', false)).toEqual([])
})
