import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { PromptApi } from '../../protocol/apis.ts'
import { chatForm } from '../../core/chat-form.ts'
import { PromptWriter, type CanonicalPrompt } from '../../core/prompt-bytes.ts'

const writer = new PromptWriter(new TextEncoder())

function write(api: PromptApi, body: Record<string, unknown>): CanonicalPrompt {
  const result = writer.write(api, 'm', body)
  if (!result.ok) throw new Error(result.message)
  return { ...result.prompt, bytes: result.prompt.bytes.slice() }
}

const text = fc.string({ unit: 'binary', maxLength: 40 })
const block = fc.oneof(
  text.map((value) => ({ type: 'text', text: value })),
  text.map((data) => ({ type: 'image', source: { type: 'base64', media_type: 'image/png', data } })),
  text.map((id) => ({ type: 'tool_use', id, name: 'look', input: { id } })),
  text.map((id) => ({ type: 'tool_result', tool_use_id: id, content: [{ type: 'text', text: id }] })),
  text.map((thinking) => ({ type: 'thinking', thinking, signature: '' })),
)
const message = fc.record({
  role: fc.constantFrom('user', 'assistant'),
  content: fc.oneof(text, fc.array(block, { minLength: 1, maxLength: 4 })),
})
const item = fc.oneof(
  fc.record({ role: fc.constantFrom('user', 'assistant', 'developer'), content: text }),
  text.map((value) => ({ type: 'message', role: 'user', content: [{ type: 'input_text', text: value }] })),
  text.map((id) => ({ type: 'function_call', call_id: id, name: 'look', arguments: '{}' })),
  text.map((id) => ({ type: 'function_call_output', call_id: id, output: id })),
  text.map((value) => ({ type: 'reasoning', summary: [{ type: 'summary_text', text: value }] })),
  text.map((id) => ({ type: 'item_reference', id })),
)

function expectPrefix(before: CanonicalPrompt, after: CanonicalPrompt): void {
  expect(after.bytes.subarray(0, before.bytes.length)).toEqual(before.bytes)
  expect(after.messageEnds.slice(0, before.messageEnds.length)).toEqual(before.messageEnds)
  expect(after.messageEnds.length).toBeGreaterThan(before.messageEnds.length)
}

test('Messages: appending a turn only appends bytes', () => {
  const head = fc.record({ system: fc.option(text, { nil: undefined }), tools: fc.constant([tool]) })
  fc.assert(
    fc.property(head, fc.array(message, { minLength: 1, maxLength: 5 }), message, (rest, messages, turn) => {
      expectPrefix(
        write('messages', { ...rest, messages }),
        write('messages', { ...rest, messages: [...messages, turn] }),
      )
    }),
  )
})

test('Responses: appending an item only appends bytes', () => {
  fc.assert(
    fc.property(fc.array(item, { minLength: 1, maxLength: 5 }), item, (input, turn) => {
      expectPrefix(
        write('responses', { instructions: 'be brief', input }),
        write('responses', { instructions: 'be brief', input: [...input, turn] }),
      )
    }),
  )
})

const schema = { type: 'object', properties: { id: { type: 'string' } } }
const tool = { name: 'look', description: 'looks', input_schema: schema }
const image = 'data:image/png;base64,AAAA'

test('one conversation has the same bytes by every API', () => {
  const chat = write('chat', {
    tools: [{ type: 'function', function: { name: 'look', description: 'looks', parameters: schema } }],
    messages: [
      { role: 'system', content: 'be brief' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'what is this?' },
          { type: 'image_url', image_url: { url: image } },
        ],
      },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 't1', type: 'function', function: { name: 'look', arguments: '{"id":"7"}' } }],
      },
      { role: 'tool', tool_call_id: 't1', content: 'a cat' },
    ],
  })
  const messages = write('messages', {
    system: [{ type: 'text', text: 'be brief', cache_control: { type: 'ephemeral' } }],
    tools: [tool],
    max_tokens: 5,
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'what is this?' },
          { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } },
        ],
      },
      { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'look', input: { id: '7' } }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', content: 'a cat' }] },
    ],
  })
  const responses = write('responses', {
    instructions: 'be brief',
    tools: [{ type: 'function', name: 'look', description: 'looks', parameters: schema, strict: true }],
    input: [
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'what is this?' },
          { type: 'input_image', image_url: image },
        ],
      },
      { type: 'function_call', call_id: 't1', name: 'look', arguments: '{"id":"7"}' },
      { type: 'function_call_output', call_id: 't1', output: 'a cat' },
    ],
  })
  const read = ({ bytes }: CanonicalPrompt) => new TextDecoder().decode(bytes)
  expect(read(messages)).toBe(read(chat))
  expect(read(responses)).toBe(read(chat))
})

test('a string is one user message', () => {
  expect(write('responses', { input: 'hi' }).bytes).toEqual(
    write('chat', { messages: [{ role: 'user', content: 'hi' }] }).bytes,
  )
})

test('a conversation that an engine keeps is another one', () => {
  const alone = write('responses', { input: 'hi' }).bytes
  expect(write('responses', { input: 'hi', previous_response_id: 'resp_1' }).bytes).not.toEqual(alone)
})

test('embeddings take the input of completions, or messages', () => {
  expect(write('embeddings', { input: ['a', 'b'] }).bytes).toEqual(
    write('completions', { prompt: 'a' }).bytes,
  )
  const messages = [{ role: 'user', content: 'a' }]
  expect(write('embeddings', { messages }).bytes).toEqual(write('chat', { messages }).bytes)
})

test.each([
  ['messages', {}, 'messages'],
  ['messages', { messages: [] }, 'messages'],
  ['messages', { messages: [{ role: 'user', content: 'x' }, null] }, 'messages[1]'],
  ['responses', {}, 'input'],
  ['responses', { input: [] }, 'input'],
  ['responses', { input: 7 }, 'input'],
  ['responses', { input: ['x'] }, 'input'],
  ['embeddings', {}, 'input'],
  ['embeddings', { input: [{}] }, 'input'],
] as const)('%s %j is refused, naming %s', (api, body, param) => {
  const result = writer.write(api, 'm', body)
  expect(result.ok ? null : result.param).toBe(param)
})

test('any JSON is answered, never thrown at, and never changed', () => {
  const apis = fc.constantFrom(
    'chat' as const,
    'messages' as const,
    'responses' as const,
    'embeddings' as const,
  )
  const names = fc.constantFrom(
    'messages',
    'input',
    'system',
    'tools',
    'instructions',
    '__proto__',
    'constructor',
  )
  fc.assert(
    fc.property(apis, fc.array(fc.tuple(names, fc.jsonValue())), (api, fields) => {
      const source = `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join()}}`
      const body = JSON.parse(source) as Record<string, unknown>
      const before = JSON.stringify(body)
      chatForm(api, body)
      writer.write(api, 'm', body)
      expect(JSON.stringify(body)).toBe(before)
      expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    }),
  )
})
