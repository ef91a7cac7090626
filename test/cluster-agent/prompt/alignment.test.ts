import fc from 'fast-check'
import { expect, test } from 'vitest'
import { certainTokens, renderedPositions } from '../../../cluster-agent/prompt/alignment.ts'
import { TokenRatio } from '../../../cluster-agent/prompt/token-ratio.ts'
import { PromptWriter } from '../../../core/prompt-bytes.ts'

const writer = new PromptWriter(new TextEncoder())
const render = (messages: { role: string; content: string }[]) =>
  messages.map((m) => `<|${m.role}|>\n${m.content}<|end|>\n`).join('')

function canonical(messages: { role: string; content: string }[]) {
  const result = writer.write('chat', 'm', { messages })
  if (!result.ok) throw new Error(result.message)
  return { ...result.prompt, bytes: result.prompt.bytes.slice() }
}

test('offsets inside a text map to its place, in any script', () => {
  const messages = [
    { role: 'user', content: 'añ🙂b' },
    { role: 'assistant', content: 'ok' },
  ]
  const rendered = render(messages)
  const { segments } = canonical(messages)
  const start = segments[0]!.offsetBytes
  // a | ñ (2 bytes) | emoji (4 bytes, 2 units) | b
  const positions = renderedPositions(rendered, segments, [
    0,
    start,
    start + 1,
    start + 2,
    start + 3,
    start + 5,
    start + 7,
    start + 8,
  ])
  const at = rendered.indexOf('añ')
  expect(positions).toEqual([0, at, at + 1, at + 1, at + 2, at + 2, at + 4, at + 5])
})

test('what lies between two texts counts as the end of the first', () => {
  const messages = [
    { role: 'user', content: 'one' },
    { role: 'user', content: 'two' },
  ]
  const { segments, messageEnds } = canonical(messages)
  const rendered = render(messages)
  expect(renderedPositions(rendered, segments, [...messageEnds])).toEqual([
    rendered.indexOf('one') + 3,
    rendered.indexOf('two') + 3,
  ])
})

test('a text that the template changed ends the alignment', () => {
  const { segments } = canonical([
    { role: 'user', content: 'kept' },
    { role: 'user', content: ' stripped ' },
    { role: 'user', content: 'later' },
  ])
  const rendered = '<|user|>\nkept<|end|>\n<|user|>\nSTRIPPED<|end|>\n<|user|>\nlater<|end|>\n'
  const offsets = segments.map(({ offsetBytes, text }) => offsetBytes + text.length)
  const end = rendered.indexOf('kept') + 4
  expect(renderedPositions(rendered, segments, offsets)).toEqual([end, end, end])
})

test('a text whose white space the template strips is found without it', () => {
  const { segments } = canonical([{ role: 'user', content: ' ñ stripped \n' }])
  const rendered = '<|user|>\nñ stripped<|end|>\n'
  const start = segments[0]!.offsetBytes
  // Space | ñ (2 bytes) | the rest, of which the last two bytes are stripped.
  expect(renderedPositions(rendered, segments, [start + 1, start + 3, start + 14])).toEqual([9, 10, 19])
})

/** Greedy words with their leading space: what follows a cut can change the word before it. */
function tokenize(text: string): { tokens: string[]; ends: number[] } {
  const tokens = text.match(/ ?[^\s<|>]+|<\|\w+\|>|\s/gu) ?? []
  let end = 0
  return { tokens, ends: tokens.map((token) => (end += token.length)) }
}

test('certain tokens are common to every prompt with the same bytes up to the marker', () => {
  const word = fc.constantFrom('alpha', 'be', 'gamma', 'x', 'ñandú', '🙂')
  const text = fc.array(word, { minLength: 1, maxLength: 12 }).map((words) => words.join(' '))
  fc.assert(
    fc.property(text, text, text, fc.nat(60), (shared, left, right, cut) => {
      const prefix = shared.slice(0, cut)
      const prompts = [left, right].map((rest) => {
        const messages = [{ role: 'user', content: prefix + rest }]
        const rendered = render(messages)
        const { segments } = canonical(messages)
        const offset = segments[0]!.offsetBytes + new TextEncoder().encode(prefix).length
        const [position] = renderedPositions(rendered, segments, [offset])
        const { tokens, ends } = tokenize(rendered)
        return { tokens, certain: certainTokens(rendered, ends, position ?? 0) }
      })
      const [a, b] = prompts
      fc.pre(prefix.isWellFormed())
      expect(a!.tokens.slice(0, a!.certain)).toEqual(b!.tokens.slice(0, a!.certain))
    }),
  )
})

test('the whole prompt is certain; a cut without white space near is not', () => {
  expect(certainTokens('abc', [1, 2, 3], 3)).toBe(3)
  const text = 'x'.repeat(1000)
  expect(
    certainTokens(
      text,
      Array.from({ length: 1000 }, (_, i) => i + 1),
      900,
    ),
  ).toBe(0)
})

test('the ratio follows the first prompt at once, later ones slowly, nothing at all never', () => {
  const ratio = new TokenRatio()
  ratio.learn(0, 0)
  expect(ratio.bytesPerToken).toBe(4)
  ratio.learn(5000, 1000)
  expect(ratio.bytesPerToken).toBe(5)
  ratio.learn(10_000, 1000)
  expect(ratio.bytesPerToken).toBeGreaterThan(5)
  expect(ratio.bytesPerToken).toBeLessThan(6)
  expect(ratio.tokens(1)).toBe(1)
})
