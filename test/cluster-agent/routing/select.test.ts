import { expect, test } from 'vitest'
import { Bookings, LEASE_MS } from '../../../cluster-agent/routing/bookings.ts'
import type { Role } from '../../../cluster-agent/routing/endpoint.ts'
import { predictedMs, selectPair, type Candidate } from '../../../cluster-agent/routing/select.ts'
import { Speculation, SPECULATION_MS } from '../../../cluster-agent/routing/speculation.ts'

const profile = {
  prefill: { fixedMs: 30, msPerToken: 1 / 15.928, msPerTokenPair: 2e-6 },
  decodeStepMs: 13,
  decodeMsPerSequence: 0.1,
  batchTokensMax: 4096,
  kvTokens: 307_328,
  tiers: { cpu: { floorMs: 0, bytesPerMs: 50e6 }, disk: { floorMs: 0, bytesPerMs: 0.2e6 } },
  transfer: { floorMs: 2, bytesPerMs: 40e6 },
}
const size = {
  promptTokens: 6500,
  outputTokensMax: 200,
  kvBytesPerToken: 262_144,
  blockTokens: 16,
  isSplittable: true,
}

function candidate(number: number, role: Role, more: Partial<Candidate> = {}): Candidate {
  return {
    endpoint: { number, name: `e${number}`, role, version: null, profile },
    load: { backlogMs: 0, kvPressure: 0, decoding: 0 },
    runs: [],
    speculativeTokens: 0,
    unavailable: null,
    ...more,
  }
}
const names = (candidates: Candidate[]) => {
  const best = selectPair(candidates, size).ranked[0]?.candidate
  return best && [best.prefill.endpoint.name, best.decode.endpoint.name]
}

test('the warm endpoint wins until its queue costs more than prefill', () => {
  const warm = { runs: [{ tier: 1, blocks: 375 }] }
  expect(names([candidate(0, 'both'), candidate(1, 'both', warm)])).toEqual(['e1', 'e1'])
  const busy = { ...warm, load: { backlogMs: 600, kvPressure: 0, decoding: 0 } }
  expect(names([candidate(0, 'both'), candidate(1, 'both', busy)])).toEqual(['e0', 'e0'])
})

test('a tier slower than recompute does not attract', () => {
  const slow = candidate(1, 'both', {
    runs: [{ tier: 3, blocks: 375 }],
    load: { backlogMs: 1, kvPressure: 0, decoding: 0 },
  })
  expect(names([candidate(0, 'both'), slow])).toEqual(['e0', 'e0'])
  const dram = candidate(1, 'both', {
    runs: [{ tier: 2, blocks: 375 }],
    load: { backlogMs: 1, kvPressure: 0, decoding: 0 },
  })
  expect(names([candidate(0, 'both'), dram])).toEqual(['e1', 'e1'])
})

test('prefill endpoints do not decode while others live; the hand-off is part of the price', () => {
  const cold = [
    candidate(0, 'prefill'),
    candidate(1, 'decode', { load: { backlogMs: 0, kvPressure: 0, decoding: 40 } }),
  ]
  expect(names(cold)).toEqual(['e0', 'e1'])
  const pair = selectPair(cold, size).ranked[0]!.candidate
  expect(pair.handoffMs).toBeCloseTo(2 + (6500 * 262_144) / 40e6, 5)
  expect(predictedMs(pair)).toBeCloseTo(pair.prefillMs + pair.handoffMs + 13 + 4, 5)
  // What is warm on the decode endpoint is not split: that saves the hand-off.
  const warm = candidate(1, 'decode', { runs: [{ tier: 1, blocks: 400 }] })
  expect(names([candidate(0, 'prefill'), warm])).toEqual(['e1', 'e1'])
  expect(names([candidate(0, 'prefill'), candidate(1, 'decode', { unavailable: 'unhealthy' })])).toEqual([
    'e0',
    'e0',
  ])
  expect(names([candidate(0, 'prefill', { unavailable: 'tried' }), candidate(1, 'decode')])).toEqual([
    'e1',
    'e1',
  ])
})

test('a long prefill shares every one of its steps with what decodes there', () => {
  const decoding = { load: { backlogMs: 0, kvPressure: 0, decoding: 10 } }
  const pair = selectPair([candidate(0, 'both', decoding)], { ...size, promptTokens: 40_000 }).ranked[0]!
    .candidate
  expect(pair.stepMs).toBeCloseTo(10 * (13 + 0.1 * 10), 6)
  expect(selectPair([candidate(0, 'both')], size).ranked[0]!.candidate.stepMs).toBe(0)
})

test('legs of different engine versions are not paired', () => {
  const old = candidate(0, 'prefill')
  const mixed = [
    { ...old, endpoint: { ...old.endpoint, version: '0.31.0' } },
    candidate(1, 'decode', { load: { backlogMs: 0, kvPressure: 0, decoding: 9 } }),
  ]
  expect(names(mixed)).toEqual(['e1', 'e1'])
})

test('KV space that runs out makes prefill dearer, not the prediction', () => {
  const full = candidate(0, 'both', { load: { backlogMs: 0, kvPressure: 0.9, decoding: 0 } })
  expect(
    names([full, candidate(1, 'both', { load: { backlogMs: 100, kvPressure: 0, decoding: 0 } })]),
  ).toEqual(['e1', 'e1'])
  const pair = selectPair([full], size).ranked[0]!.candidate
  expect(pair.shadowMs).toBeGreaterThan(pair.prefillMs)
  expect(predictedMs(pair)).toBe(pair.prefillMs)
})

test('what fits nowhere by our estimate goes to an engine all the same: it counts', () => {
  const large = candidate(1, 'both')
  const small = candidate(0, 'both')
  const tiny = { ...small, endpoint: { ...small.endpoint, profile: { ...profile, kvTokens: 100 } } }
  expect(names([tiny, large])).toEqual(['e1', 'e1'])
  expect(names([tiny])).toEqual(['e0', 'e0'])
})

test('nobody is available: reasons instead of a choice', () => {
  const choice = selectPair(
    [candidate(0, 'both', { unavailable: 'tried' }), candidate(1, 'both', { unavailable: 'unhealthy' })],
    size,
  )
  expect(choice.ranked).toEqual([])
  expect(new Set(choice.rejected.map(({ reason }) => reason))).toEqual(new Set(['tried', 'unhealthy']))
})

test('several sequences of one request stay on one endpoint', () => {
  const busy = [
    candidate(0, 'prefill'),
    candidate(1, 'decode', { load: { backlogMs: 0, kvPressure: 0, decoding: 40 } }),
  ]
  const best = selectPair(busy, { ...size, isSplittable: false }).ranked[0]?.candidate
  expect([best?.prefill.endpoint.name, best?.decode.endpoint.name]).toEqual(['e1', 'e1'])
})

test('bookings count down while prefill proceeds and return to zero', () => {
  const bookings = new Bookings([1000, 1000])
  bookings.bookPrefill(0, 'a', 100, 200, 0)
  bookings.bookPrefill(0, 'b', 50, 100, 10)
  bookings.bookDecode(0, 'c', 200, 10)
  expect(bookings.load(0, 40)).toEqual({ backlogMs: 110, kvPressure: 0.5, decoding: 1 })
  // The head takes longer than predicted: it counts as nearly done, never as negative.
  expect(bookings.load(0, 500).backlogMs).toBe(50)
  bookings.releasePrefill(0, 'a', 500)
  expect(bookings.load(0, 520).backlogMs).toBe(30)
  bookings.releasePrefill(0, 'b', 530)
  bookings.releasePrefill(0, 'b', 530)
  bookings.releaseDecode(0, 'c')
  expect(bookings.load(0, 540)).toEqual({ backlogMs: 0, kvPressure: 0, decoding: 0 })
  expect(bookings.count).toBe(0)
})

test('a booking that nobody releases expires', () => {
  const bookings = new Bookings([1000])
  bookings.bookPrefill(0, 'a', 100, 1, 0)
  bookings.bookDecode(0, 'a', 1, 0)
  bookings.bookDecode(0, 'b', 1, 0)
  bookings.renewDecode(0, 'b', LEASE_MS - 1)
  expect(bookings.load(0, LEASE_MS)).toMatchObject({ backlogMs: 0, decoding: 1 })
})

test('a burst of one new prefix goes where its first went, for a while', () => {
  const speculation = new Speculation()
  const markers = Uint32Array.of(256, 1, 1, 512, 2, 2)
  speculation.note(3, markers, 0)
  expect([...speculation.match(Uint32Array.of(256, 1, 1, 512, 9, 9), 10)]).toEqual([[3, 256]])
  expect([...speculation.match(markers, 10)]).toEqual([[3, 512]])
  expect([...speculation.match(markers, SPECULATION_MS)]).toEqual([])
  const cold = candidate(0, 'both')
  const burst = candidate(1, 'both', {
    speculativeTokens: 6400,
    load: { backlogMs: 300, kvPressure: 0, decoding: 0 },
  })
  expect(names([cold, burst])).toEqual(['e1', 'e1'])
})
