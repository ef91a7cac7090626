import { expect, test } from 'vitest'
import {
  contentFormatOf,
  templateMessages,
  templateTools,
} from '../../../cluster-agent/prompt/template-messages.ts'

const shaped = (message: object, format: 'string' | 'parts' = 'string') =>
  templateMessages([message], format, 'MARK')

test('content is text for templates of text, parts for those that loop over parts', () => {
  const parts = [
    { type: 'text', text: 'a' },
    { type: 'text', text: 'b' },
  ]
  const of = (content: unknown, format?: 'string' | 'parts') =>
    shaped({ role: 'user', content }, format)?.messages[0]
  expect(of(parts)).toEqual({ role: 'user', content: 'a\nb' })
  expect(of('a', 'parts')).toEqual({ role: 'user', content: [{ type: 'text', text: 'a' }] })
  expect(of(null)).toEqual({ role: 'user', content: '' })
  expect(contentFormatOf("{% for part in message['content'] %}{% endfor %}")).toBe('parts')
  expect(contentFormatOf('{%- for part in message.content -%}{% endfor %}')).toBe('parts')
  expect(contentFormatOf('{% for m in messages %}{{ m.content }}{% endfor %}')).toBe('string')
})

test('arguments of calls become objects, reasoning has both names, unknown fields go', () => {
  const call = (args: unknown) => ({ id: 'c', type: 'function', function: { name: 'f', arguments: args } })
  const message = {
    role: 'assistant',
    content: 'x',
    refusal: null,
    reasoning_content: 'hm',
    tool_calls: [call('{"a":1}'), call(''), call('{broken'), call({ b: 2 })],
  }
  expect(shaped(message)?.messages[0]).toEqual({
    role: 'assistant',
    content: 'x',
    reasoning: 'hm',
    reasoning_content: 'hm',
    tool_calls: [call({ a: 1 }), call({}), call({}), call({ b: 2 })],
  })
})

test('what has no text of its own ends what is known', () => {
  const image = { type: 'image_url', image_url: { url: 'x' } }
  const messages = [
    { role: 'user', content: [{ type: 'text', text: 'a' }, image] },
    { role: 'user', content: 'later' },
  ]
  expect(templateMessages(messages, 'parts', 'MARK')).toEqual({
    isCut: true,
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'MARK' },
        ],
      },
    ],
  })
  // Placeholders come before the text of their message.
  expect(templateMessages(messages, 'string', 'MARK')?.messages).toEqual([{ role: 'user', content: 'MARK' }])
})

test.each([null, 'x', [null], [{}], [{ role: 1 }]])('%j is no list of messages', (messages) => {
  expect(templateMessages(messages, 'string', 'MARK')).toBeNull()
})

test('tools have every field that the engine gives them, whatever may be called', () => {
  const tool = { type: 'function', function: { name: 'f', strict: true, mine: 1 }, x: 2 }
  expect(templateTools({ tools: [tool] })).toEqual([
    { type: 'function', function: { name: 'f', description: null, parameters: null, strict: true } },
  ])
  expect(templateTools({ tools: [tool], tool_choice: 'none' })).toHaveLength(1)
  expect(templateTools({ tools: [] })).toBeUndefined()
  expect(templateTools({ tools: ['x'] })).toEqual(['x'])
})

test("Claude Code's billing header is dropped from system texts, as the engine does", () => {
  const header = 'x-anthropic-billing-header: cch=1'
  const of = (content: unknown, role = 'system') => shaped({ role, content })?.messages[0]?.['content']
  expect(
    of([
      { type: 'text', text: header },
      { type: 'text', text: 'Be brief.' },
    ]),
  ).toBe('Be brief.')
  expect(of(`${header}\nBe brief.`)).toBe('Be brief.')
  expect(of(`${header}\nBe brief.`, 'user')).toBe(`${header}\nBe brief.`)
})

test('results of tools are text also for templates that go through parts', () => {
  const message = { role: 'tool', tool_call_id: 'c', content: [{ type: 'text', text: 'a' }] }
  expect(shaped(message, 'parts')?.messages[0]).toEqual({ role: 'tool', tool_call_id: 'c', content: 'a' })
})
