import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  ANSWER_COPY_BYTES_MAX,
  isErrorEvent,
  PlainReader,
  RewritingReader,
  UsageEventReader,
  type AnswerReader,
} from '../../cluster-agent/answer-reader.ts'
import { readExchanges } from '../support/recorded.ts'

const recorded = (name: string): string => {
  const exchange = readExchanges('v0.32.0', 'chat').find((one) => one.name === name)
  return exchange?.response.body ?? JSON.stringify(exchange?.response.json)
}
/** Two recordings differ in these whatever was asked. */
const anonymous = (text: string) =>
  text.replaceAll(/"id":"[^"]+"/g, '"id":"x"').replaceAll(/"created":\d+/g, '"created":0')

function read(reader: AnswerReader, text: string, cuts: readonly number[] = []): string {
  const bytes = Buffer.from(text)
  const ends = [...new Set(cuts.map((cut) => cut % bytes.length))].toSorted((a, b) => a - b)
  const out: Buffer[] = []
  let from = 0
  for (const end of [...ends, bytes.length]) {
    const part = reader.take(bytes.subarray(from, end))
    if (part) out.push(part)
    from = end
  }
  const rest = reader.end()
  return Buffer.concat(rest ? [...out, rest] : out).toString()
}

const cuts = fc.array(fc.nat(), { maxLength: 20 })
const USAGE = { promptTokens: 54, cachedTokens: 32, outputTokens: 6 }

test('a stream whose usage only the agent asked for is that of a client that asked for none', () => {
  fc.assert(
    fc.property(cuts, (cuts) => {
      const reader = new UsageEventReader(true, null, false)
      const seen = read(reader, recorded('stream, include_usage'), cuts)
      expect(anonymous(seen)).toBe(anonymous(recorded('stream')))
      expect(reader.usage).toEqual(USAGE)
    }),
  )
})

test('a usage that the client asked for passes as it came, also with every chunk', () => {
  for (const name of ['stream, include_usage', 'stream, continuous usage'])
    fc.assert(
      fc.property(cuts, (cuts) => {
        const reader = new PlainReader(true, false)
        expect(read(reader, recorded(name), cuts)).toBe(recorded(name))
        expect(reader.usage).toEqual(USAGE)
      }),
    )
})

test('what the prefill leg had cached is said in place of what decode counted', () => {
  const rewrite = (usage: object) => ({ ...usage, prompt_tokens_details: { cached_tokens: 16 } })
  fc.assert(
    fc.property(cuts, (cuts) => {
      const streamed = read(
        new UsageEventReader(false, rewrite, false),
        recorded('stream, include_usage'),
        cuts,
      )
      expect(streamed).toBe(
        recorded('stream, include_usage').replace(
          '{"cached_tokens":32,"created_cache_tokens":0}',
          '{"cached_tokens":16}',
        ),
      )
      const whole = read(new RewritingReader(rewrite, false), recorded('warm'), cuts)
      const { usage, ...rest } = JSON.parse(recorded('warm')) as { usage: object }
      expect(JSON.parse(whole)).toEqual({ ...rest, usage: rewrite(usage) })
    }),
  )
})

test('whole answers pass at once and their usage is found wherever chunks are cut', () => {
  fc.assert(
    fc.property(cuts, (cuts) => {
      const reader = new PlainReader(false, true)
      expect(read(reader, recorded('warm'), cuts)).toBe(recorded('warm'))
      expect(reader.usage).toMatchObject({ promptTokens: 54, cachedTokens: 32 })
      expect(Buffer.concat(reader.copy ?? []).toString()).toBe(recorded('warm'))
    }),
  )
})

test('text that looks like usage is not taken for it', () => {
  const text = JSON.stringify({ content: '"usage":{"prompt_tokens":1,"completion_tokens":2}', id: 1 })
  const reader = new PlainReader(false, false)
  expect(read(reader, text)).toBe(text)
  expect(reader.usage).toBeNull()
})

test.each(['', 'garbage', '\n\n\n\n', 'data: {"usage":{"prompt_tokens":', '"usage":{}', 'data: [DONE]\n\n'])(
  'of %j every byte passes and no usage is made up',
  (text) => {
    for (const reader of [new PlainReader(true, true), new UsageEventReader(true, null, false)]) {
      expect(read(reader, text)).toBe(text)
      expect(reader.usage).toBeNull()
    }
  },
)

test('an event without an end passes when it is too long to wait for', () => {
  const reader = new UsageEventReader(true, null, true)
  const chunk = Buffer.alloc(1024 * 1024, 'x')
  const passed = Array.from({ length: 6 }, () => reader.take(chunk)?.length ?? 0)
  expect(passed.reduce((sum, length) => sum + length, 0)).toBeGreaterThan(ANSWER_COPY_BYTES_MAX)
  expect(reader.copy).toBeNull()
})

test('a stream that begins with an error is known by its first bytes', () => {
  expect(isErrorEvent(Buffer.from('data: {"error":{"message":"x"}}\n\n'))).toBe(true)
  expect(isErrorEvent(Buffer.from('data: {"id":"x"}\n\n'))).toBe(false)
  expect(isErrorEvent(Buffer.from(''))).toBe(false)
})
