import { expect, test } from 'vitest'
import { blockText, replayBody } from '../../../cli/replay/prompt.ts'
import {
  blockTokens,
  infiniteCacheShare,
  parseTraceLine,
  sessionKey,
  type TraceRequest,
} from '../../../cli/replay/trace.ts'
import { generateWorkload } from '../../../cli/replay/workload.ts'

const request = (inputTokens: number, blockIds: number[]): TraceRequest => ({
  timestampMs: 0,
  inputTokens,
  outputTokens: 10,
  blockIds,
})

test('a line of the format is read', () => {
  const line = '{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [0, 46, 47]}'
  expect(parseTraceLine(line, 1)).toEqual({
    timestampMs: 27_482,
    inputTokens: 6955,
    outputTokens: 52,
    blockIds: [0, 46, 47],
  })
})

test.each([
  ['{', 'line 7 is not JSON'],
  ['{"timestamp":0,"input_length":-1,"output_length":1,"hash_ids":[0]}', 'line 7: input_length'],
  ['{"timestamp":0,"input_length":1,"output_length":1,"hash_ids":[]}', 'line 7: hash_ids'],
  ['[]', 'line 7: value'],
])('a bad line is named: %s', (line, message) => {
  expect(() => parseTraceLine(line, 7)).toThrow(message)
})

test('shared ids are shared text, block by block', () => {
  const one = replayBody(request(1100, [0, 5, 6]), 'm')
  const two = replayBody(request(1500, [0, 5, 7]), 'm')
  expect(one.messages.slice(0, 2)).toEqual(two.messages.slice(0, 2))
  expect(one.messages[2]?.content).not.toEqual(
    two.messages[2]?.content.slice(0, one.messages[2]?.content.length),
  )
  expect(one.messages.map((m) => m.content.trim().split(' ').length)).toEqual([512, 512, 76])
  expect(blockText(9, 500).startsWith(blockText(9, 100))).toBe(true)
  expect(one.prompt_cache_key).toBe(two.prompt_cache_key)
})

test('an infinite cache holds the whole prefix that came before, and only a prefix', () => {
  expect(infiniteCacheShare([])).toBe(0)
  expect(infiniteCacheShare([request(1024, [1, 2]), request(1024, [1, 2])])).toBe(0.5)
  // Block 2 was seen, but not behind block 3.
  expect(infiniteCacheShare([request(1024, [1, 2]), request(1024, [3, 2])])).toBe(0)
  expect(blockTokens(request(600, [1, 2]), 1)).toBe(88)
})

test('the generated workload repeats by seed and has the shape of a conversation trace', () => {
  const workload = generateWorkload({ minutes: 20, seed: 7 })
  expect(generateWorkload({ minutes: 20, seed: 7 })).toEqual(workload)
  expect(generateWorkload({ minutes: 20, seed: 8 })).not.toEqual(workload)
  expect(workload.length / (20 * 60)).toBeGreaterThan(3)
  expect(workload.length / (20 * 60)).toBeLessThan(4)
  const share = infiniteCacheShare(workload)
  expect(share).toBeGreaterThan(0.25)
  expect(share).toBeLessThan(0.65)
  for (const { inputTokens, blockIds } of workload) {
    expect(blockIds.length).toBe(Math.ceil(inputTokens / 512))
    expect(blockIds[0]).toBe(0)
  }
  expect(sessionKey(request(10, [4]))).toBe(4)
})
