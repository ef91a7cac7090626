import { expect, test } from 'vitest'
import { measure, quantile } from '../../../simulator/report/metrics.ts'
import { interval, knee, pairedGain } from '../../../simulator/report/statistics.ts'
import { STREAM_BYTES_PER_TOKEN } from '../../../simulator/report/wide-area.ts'
import { ChunkWriter } from '../../../simulator/wire/stream-chunk.ts'
import type { Outcome, SimRequest } from '../../../simulator/world/request.ts'

test('a 95 % interval by Student, and none of one value', () => {
  const { mean, half } = interval([1, 2, 3, 4, 5])
  expect(mean).toBe(3)
  expect(half).toBeCloseTo(2.776 * Math.sqrt(2.5 / 5), 6)
  expect(interval([7])).toEqual({ mean: 7, half: null })
})

test('gains are paired by seed', () => {
  const { mean, half } = pairedGain([50, 100], [100, 200])
  expect([mean, half]).toEqual([-0.5, 0])
  expect(pairedGain([1, 5], [0, 10]).mean).toBe(-0.5)
})

test('the knee lies between the points around the bound, in the logarithm', () => {
  const points = [
    { load: 2, y: 4000 },
    { load: 1, y: 1000 },
  ]
  expect(knee(points, 2000)).toBeCloseTo(1.5)
  expect(knee(points, 500)).toBeNull()
  expect(knee(points, 9000)).toBe(Infinity)
})

test('a quantile is the least value with that share at or below it', () => {
  expect([0.5, 0.9, 1].map((q) => quantile([1, 2, 3, 4], q))).toEqual([2, 4, 4])
  expect(quantile([], 0.9)).toBe(0)
})

const LAW = { fixedMs: 10, msPerToken: 1, msPerTokenPair: 0 }
const YARDSTICK = { regionOf: (cluster: number) => cluster, lawOf: () => LAW, targetMs: 100 }

/** One outcome of a prompt of 1,000 tokens in ten blocks. */
function outcome(given: Partial<Outcome>): Outcome {
  const request: SimRequest = {
    number: 0,
    arrivalMs: 0,
    stage: 0,
    isCounted: true,
    region: 0,
    session: 0,
    tenant: 0,
    adapter: -1,
    promptTokens: 1000,
    outputTokens: 10,
    blocks: new Int32Array(10),
    ends: [],
    label: '',
  }
  return {
    request,
    sentMs: 0,
    state: 'served',
    cluster: 0,
    endpoint: 0,
    ttftMs: 50,
    endToEndMs: 2000,
    tpotMs: 1,
    split: { rttMs: 0, queueMs: 0, loadMs: 0, prefillMs: 50, handoffMs: 0 },
    predictedMs: null,
    gpuTokens: 0,
    lowerTokens: 0,
    warmth: { heldBlocks: 0, longestBlocks: 0 },
    detourMs: 0,
    attempts: 1,
    preemptions: 0,
    ...given,
  }
}

test('goodput counts what was served within the target, and neither late, lost nor broken', () => {
  const outcomes = [
    outcome({}),
    outcome({ ttftMs: 101 }),
    outcome({ state: 'broken' }),
    outcome({ state: 'lost' }),
  ]
  expect(measure(outcomes, YARDSTICK).goodputPerS).toBe(0.5)
})

test('precision asks of what was warm somewhere whether it went there', () => {
  const warm = (heldBlocks: number, longestBlocks: number) =>
    outcome({ warmth: { heldBlocks, longestBlocks } })
  // Two blocks of ten are no follow-up; seven of nine is less than four fifths.
  const outcomes = [warm(0, 2), warm(9, 9), warm(8, 9), warm(7, 9), warm(0, 9)]
  expect(measure(outcomes, YARDSTICK).precision).toBe(0.5)
  expect(measure([warm(0, 2)], YARDSTICK).precision).toBeNull()
})

test('prefill of the GPU is the law of what was not cached, beside a cold cache', () => {
  const outcomes = [outcome({ gpuTokens: 500, lowerTokens: 300 }), outcome({})]
  expect(measure(outcomes, YARDSTICK).prefillGpuMs).toEqual({ computed: (210 + 1010) / 2, cold: 1010 })
})

test('the wide area carries prompt and answer once for each way out of the region', () => {
  const away = outcome({ cluster: 1 })
  const bytes = 1000 * 4 + 10 * STREAM_BYTES_PER_TOKEN
  expect(measure([away, outcome({})], YARDSTICK).wideAreaBytes).toBe(bytes / 2)
  expect(measure([outcome({ cluster: 1, detourMs: 40 })], YARDSTICK).wideAreaBytes).toBe(bytes * 2)
})

test('an event of an answer has the size that the engine writes', () => {
  const head = { api: 'chat', id: `chatcmpl-${'a'.repeat(32)}`, createdS: 1_790_000_000 } as const
  const writer = new ChunkWriter(
    { ...head, model: 'Qwen/Qwen3-32B', tool: null, fingerprint: '', version: '0.32.0', itemId: '' },
    { includesUsage: true, hasContinuousUsage: false, returnsTokenIds: false, hasDetails: false },
  )
  const text = { index: 0, text: ' word', tokenIds: [], finish: null, stopReason: null }
  const event = writer.delta({ ...text, promptTokens: 9, completionTokens: 1, promptTokenIds: null })
  expect(event.length).toBe(STREAM_BYTES_PER_TOKEN)
})
