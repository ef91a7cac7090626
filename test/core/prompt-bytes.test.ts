import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PromptWriter, type CanonicalPrompt, type PromptApi } from '../../core/prompt-bytes.ts'

const writer = new PromptWriter(new TextEncoder())

function write(api: PromptApi, body: Record<string, unknown>, model = 'm'): CanonicalPrompt {
  const result = writer.write(api, model, body)
  if (!result.ok) throw new Error(result.message)
  return { ...result.prompt, bytes: result.prompt.bytes.slice() }
}

const message = fc.record({
  role: fc.constantFrom('system', 'user', 'assistant'),
  content: fc.string({ unit: 'binary' }),
})

test('appending a turn only appends bytes', () => {
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 6 }), message, (messages, turn) => {
      const before = write('chat', { messages })
      const after = write('chat', { messages: [...messages, turn] })
      expect(after.bytes.subarray(0, before.bytes.length)).toEqual(before.bytes)
      expect(after.messageEnds.slice(0, -1)).toEqual(before.messageEnds)
      expect(after.messageEnds.at(-1)).toBe(after.bytes.length)
    }),
  )
})

test('different conversations have different bytes', () => {
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 4 }),
      fc.array(message, { minLength: 1, maxLength: 4 }),
      (a, b) => {
        fc.pre(JSON.stringify(a) !== JSON.stringify(b))
        // Lone surrogates all become U+FFFD, as they do in the engine's UTF-8.
        fc.pre([...a, ...b].every(({ content }) => content.isWellFormed()))
        expect(write('chat', { messages: a }).bytes).not.toEqual(write('chat', { messages: b }).bytes)
      },
    ),
  )
})

test('text cannot imitate structure', () => {
  const one = write('chat', {
    messages: [
      { role: 'user', content: 'a' },
      { role: 'user', content: 'b' },
    ],
  })
  const two = write('chat', { messages: [{ role: 'user', content: 'a\u00ff\u00fauser\u00fbb' }] })
  expect(one.bytes).not.toEqual(two.bytes)
})

test('a text part equals the plain string; other parts, tools and tool calls count', () => {
  const text = { messages: [{ role: 'user', content: 'hello' }] }
  const parts = { messages: [{ role: 'user', content: [{ type: 'text', text: 'hello' }] }] }
  expect(write('chat', parts).bytes).toEqual(write('chat', text).bytes)
  const image = { type: 'image_url', image_url: { url: 'https://example.test/a.png' } }
  const variants = [
    { ...text, tools: [{ type: 'function', function: { name: 'f' } }] },
    { ...text, chat_template_kwargs: { enable_thinking: false } },
    { messages: [{ role: 'user', content: [{ type: 'text', text: 'hello' }, image] }] },
    { messages: [{ role: 'user', content: 'hello', tool_calls: [{ id: '1' }] }] },
    { messages: [{ role: 'user', content: 'hello', name: 'ann' }] },
  ].map((body) => Buffer.from(write('chat', body).bytes).toString('hex'))
  expect(new Set([...variants, Buffer.from(write('chat', text).bytes).toString('hex')]).size).toBe(6)
  expect(write('chat', text, 'other').bytes).not.toEqual(write('chat', text).bytes)
})

test('sampling parameters and null fields do not count', () => {
  const base = { messages: [{ role: 'user', content: 'x' }] }
  expect(write('chat', { ...base, temperature: 1, max_tokens: 3, tools: null }).bytes).toEqual(
    write('chat', base).bytes,
  )
})

test('segments point at their text', () => {
  const { bytes, segments } = write('chat', {
    messages: [
      { role: 'system', content: 'é🙂' },
      { role: 'user', content: [{ type: 'text', text: 'two' }] },
    ],
  })
  expect(segments.map((s) => s.text)).toEqual(['é🙂', 'two'])
  for (const { offsetBytes, text } of segments) {
    const length = new TextEncoder().encode(text).length
    expect(new TextDecoder().decode(bytes.subarray(offsetBytes, offsetBytes + length))).toBe(text)
  }
})

test('completions take a string, token ids, or the first of several prompts', () => {
  expect(write('completions', { prompt: ['a', 'b'] }).bytes).toEqual(
    write('completions', { prompt: 'a' }).bytes,
  )
  expect(write('completions', { prompt: [[1, 2], [3]] }).bytes).toEqual(
    write('completions', { prompt: [1, 2] }).bytes,
  )
})

test.each([
  ['chat', {}, 'messages'],
  ['chat', { messages: [] }, 'messages'],
  ['chat', { messages: 'hi' }, 'messages'],
  ['chat', { messages: [{ role: 'user', content: 'x' }, 3] }, 'messages[1]'],
  ['chat', { messages: [{ content: 'x' }] }, 'messages[0]'],
  ['completions', {}, 'prompt'],
  ['completions', { prompt: [1, 'a'] }, 'prompt'],
  ['completions', { prompt: { a: 1 } }, 'prompt'],
] as const)('%s %j is refused, naming %s', (api, body, param) => {
  const result = writer.write(api, 'm', body)
  expect(result.ok ? null : result.param).toBe(param)
})

test('the buffer grows past its first size and is used again', () => {
  const long = 'ü'.repeat(200_000)
  expect(write('completions', { prompt: long }).bytes.length).toBeGreaterThan(400_000)
  expect(write('completions', { prompt: 'short' }).messageEnds).toHaveLength(1)
})

test('a header that engines drop is no part of a system prompt', () => {
  const of = (cch: number, rest: string) =>
    write('messages', {
      system: [
        { type: 'text', text: `x-anthropic-billing-header: cch=${cch}` },
        { type: 'text', text: rest },
      ],
      messages: [{ role: 'user', content: 'hi' }],
    }).bytes
  expect(of(1, 'Be brief.')).toEqual(of(2, 'Be brief.'))
  expect(of(1, 'Be brief.')).not.toEqual(of(1, 'Be long.'))
  const chat = (content: string) => write('chat', { messages: [{ role: 'system', content }] }).bytes
  expect(chat('x-anthropic-billing-header: 1\nBe brief.')).toEqual(chat('Be brief.'))
  expect(chat('x-anthropic-billing-header: 1')).toEqual(chat('x-anthropic-billing-header: 2'))
})
