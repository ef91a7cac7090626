import { Template } from '@huggingface/jinja'
import fc from 'fast-check'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Tokenizer } from 'tokenizers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CHAT_TEMPLATE, renderChat } from '../../../simulator/model/chat-template.ts'
import { decode, tokenString } from '../../../simulator/model/decode.ts'
import { encode } from '../../../simulator/model/encode.ts'
import { demoTokenizerFiles } from '../../../simulator/model/tokenizer-files.ts'
import { VOCABULARY_TOKENS, wordText, wordToken } from '../../../simulator/model/vocabulary.ts'

let folder = ''
let reference: Tokenizer

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'demo-tokenizer-'))
  const path = join(folder, 'tokenizer.json')
  writeFileSync(path, demoTokenizerFiles().tokenizerJson)
  reference = Tokenizer.fromFile(path)
})

afterAll(() => rmSync(folder, { recursive: true }))

async function referenceIds(text: string): Promise<number[]> {
  return [...(await reference.encode(text, null, { addSpecialTokens: false })).getIds()]
}

test('a synthetic word is one token, with and without its space', async () => {
  const text = Array.from({ length: 4096 }, (_, i) => wordText(i)).join(' ')
  const ids = [...encode(text)]
  expect(ids).toEqual(Array.from({ length: 4096 }, (_, i) => wordToken(i, i > 0)))
  expect(await referenceIds(text)).toEqual(ids)
  expect(decode(ids)).toBe(text)
})

const runs = fc.stringMatching(/^[a-eghio zbd]{0,200}$/)
const specials = fc.constantFrom(
  '<|im_start|>',
  '<|im_end|>',
  '<|endoftext|>',
  '<|',
  '|>',
  '<|im_',
  '\n',
  '  ',
  'Ġ',
)
const words = fc.nat(4095).map((i) => ` ${wordText(i)}`)
const texts = fc
  .array(fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), runs, specials, words), {
    maxLength: 12,
  })
  .map((parts) => parts.join(''))

test('any text gives the ids of Hugging Face tokenizers, and comes back', async () => {
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      const ids = [...encode(text)]
      expect(ids).toEqual(await referenceIds(text))
      expect(decode(ids)).toBe(text)
    }),
    { numRuns: 500 },
  )
})

test('any tokens decode to what Hugging Face tokenizers say', async () => {
  const tokens = fc.array(fc.oneof(fc.nat(255), fc.nat(VOCABULARY_TOKENS - 1)), { maxLength: 60 })
  await fc.assert(
    fc.asyncProperty(tokens, async (ids) => {
      expect(decode(ids, true)).toBe(await reference.decode(ids, true))
    }),
    // The bytes of one character around a special token that is passed over.
    { numRuns: 300, examples: [[[0xc2, VOCABULARY_TOKENS - 1, 0x80]]] },
  )
})

test('token strings are those of the vocabulary', () => {
  for (let id = 0; id < VOCABULARY_TOKENS; id++) expect(tokenString(id)).toBe(reference.idToToken(id))
})

test('a run of letters without end takes bounded work', async () => {
  const text = 'bado'.repeat(5000)
  expect([...encode(text)]).toEqual(await referenceIds(text))
})

const json = fc.jsonValue({ maxDepth: 3 })
const message = fc.record({
  role: fc.constantFrom('system', 'user', 'assistant', 'tool'),
  content: fc.option(fc.string({ unit: 'binary' })),
  tool_calls: fc.option(fc.array(fc.record({ id: fc.string(), function: json }), { maxLength: 2 }), {
    nil: undefined,
  }),
})

test('the renderer writes what the template renders', () => {
  const template = new Template(CHAT_TEMPLATE)
  const input = fc.record({
    messages: fc.array(message, { maxLength: 5 }),
    tools: fc.option(
      fc.array(fc.record({ type: fc.constant('function'), function: json }), { maxLength: 2 }),
    ),
    isPrompt: fc.boolean(),
  })
  fc.assert(
    fc.property(input, ({ messages, tools, isPrompt }) => {
      const expected = template.render({ messages, tools, add_generation_prompt: isPrompt })
      const mine = messages.map(({ role, content, tool_calls }) => ({ role, content, toolCalls: tool_calls }))
      expect(renderChat(mine, tools, isPrompt)).toBe(expected)
    }),
  )
})
