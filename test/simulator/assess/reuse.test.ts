import { expect, test } from 'vitest'
import { prefillMs } from '../../../core/cost-model.ts'
import { breakEvens } from '../../../simulator/assess/break-even.ts'
import { measureReuse } from '../../../simulator/assess/reuse.ts'
import { makeProfile } from '../../../simulator/scenario/profiles.ts'
import type { PlayedRequest } from '../../../simulator/workload/trace.ts'

function ask(
  timestampS: number,
  inputTokens: number,
  blockIds: readonly number[],
  session = 0,
): PlayedRequest {
  return { timestampMs: timestampS * 1000, inputTokens, outputTokens: 10, blockIds, session }
}

test('a token can be reused when an earlier request had everything before it too, in whole blocks', () => {
  const { facts, reusedTokens } = measureReuse(
    [
      ask(0, 350, [1, 2, 3, 4]),
      ask(10, 400, [1, 2, 9, 8]),
      // Block 8 is known, but not behind block 7.
      ask(30, 400, [1, 7, 9, 8], 5),
      // Block 4 of the first request was not full, so no cache kept it.
      ask(60, 400, [1, 2, 3, 4]),
    ],
    100,
  )
  expect(reusedTokens).toEqual([0, 200, 100, 300])
  expect(facts.reusableShare).toBeCloseTo(600 / 1550)
  // Ages: 10, 10 | 20 | 30 (block 1), 50 (block 2), 60 (block 3) seconds.
  expect(facts.reuseAgeS).toEqual({ p50: 20, p90: 60 })
  // Of six reused blocks the third request's one, and block 1 of the fourth, were another session's.
  expect(facts.sameSessionShare).toBeCloseTo(4 / 6)
  expect(facts).toMatchObject({ requests: 4, sessions: 2, minutes: 1, distinctTokens: 700 })
  expect(facts.promptTokens.p50).toBe(400)
})

test('an answer is reused where its blocks are known', () => {
  const first = { ...ask(0, 300, [1, 2, 3, 4]), outputTokens: 120 }
  const second = ask(5, 500, [1, 2, 3, 4, 5])
  expect(measureReuse([first, second], 100).reusedTokens[1]).toBe(300)
  expect(measureReuse([{ ...first, knowsAnswer: true }, second], 100).reusedTokens[1]).toBe(400)
})

test('break-even is where the cost model turns: at it a prefix pays, a token below it does not', () => {
  const profile = makeProfile('qwen3-32b-tp2-h100', 64, {})
  const requests = [ask(0, 8000, []), ask(1, 8000, [])]
  const rows = breakEvens(profile, 84, requests, [0, 6000])
  const row = (name: string) => rows.find(({ source }) => source.includes(name))
  expect(row('GPU')).toMatchObject({ tokens: 1, share: 6000 / 16_000 })
  const far = row('farther')?.tokens ?? 0
  const saving = (tokens: number) =>
    prefillMs(profile.prefill, tokens + 8000, 0) - prefillMs(profile.prefill, 8000, tokens) - 84
  expect(saving(far)).toBeGreaterThan(0)
  expect(saving(far - 1)).toBeLessThanOrEqual(0)
  // Moving KV between regions is slower than computing it.
  expect(row('KV from another region')).toMatchObject({ tokens: null, share: 0, savedMs: 0 })
  // Too short for the way, long enough for DRAM.
  const short = breakEvens(profile, 84, requests, [0, 600])
  expect(short.map(({ source, share }) => [source, share > 0])).toContainEqual(['DRAM', true])
  expect(short.find(({ source }) => source.includes('farther'))?.share).toBe(0)
})
