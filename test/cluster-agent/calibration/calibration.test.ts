import { expect, test } from 'vitest'
import { AnswerLengths } from '../../../cluster-agent/calibration/answer-lengths.ts'
import { Calibration, SAVED_MAX } from '../../../cluster-agent/calibration/calibration.ts'
import type { CostSample } from '../../../cluster-agent/calibration/cost-metrics.ts'
import { prefillMs } from '../../../core/cost-model.ts'
import { IDLE, type Endpoint, type EndpointProfile } from '../../../cluster-agent/routing/endpoint.ts'
import type { Candidate, RequestSize } from '../../../cluster-agent/routing/candidate.ts'
import { predictedMs, selectPair } from '../../../cluster-agent/routing/select.ts'

const profile: EndpointProfile = {
  prefill: { fixedMs: 30, msPerToken: 0.06, msPerTokenPair: 2e-6 },
  decodeStepMs: 13,
  decodeMsPerSequence: 0.1,
  decodeMsPerContextToken: 5e-5,
  batchTokensMax: 4096,
  kvTokens: 300_000,
  tiers: { cpu: { floorMs: 1, bytesPerMs: 50e6 } },
  transfer: { floorMs: 2, bytesPerMs: 40e6 },
}
const size = (promptTokens: number): RequestSize => ({
  promptTokens,
  answerTokens: 100,
  kvBytesPerToken: 262_144,
  blockTokens: 16,
  isSplittable: true,
})
const endpoint = (number: number, more: Partial<Endpoint> = {}): Endpoint => ({
  number,
  name: `e${number}`,
  role: 'both',
  version: null,
  profile,
  ...more,
})
const candidate = (of: Endpoint, more: Partial<Candidate> = {}): Candidate => ({
  endpoint: of,
  load: IDLE,
  runs: [],
  speculativeTokens: 0,
  unavailable: null,
  ...more,
})

/** Serves prompts at endpoints that are really `factor` times as slow as configured. */
function serve(calibration: Calibration, list: readonly Endpoint[], factor: number, requests = 64): void {
  for (let i = 0; i < requests; i++) {
    const request = size(500 + ((i * 7919) % 15_000))
    const candidates = calibration.learnt(list).map((one) => candidate(one))
    const pair = selectPair(candidates, request).ranked[0]!.candidate
    const realMs = prefillMs(profile.prefill, request.promptTokens, 0) * factor
    calibration.noteServed({
      pair,
      size: request,
      startMs: 0,
      prefillEndMs: realMs,
      firstTokenMs: realMs,
      promptTokens: request.promptTokens,
      cachedTokens: 0,
      answerTokens: 50,
    })
  }
}

test('an endpoint slower than configured is priced as it is, after a few requests', () => {
  const calibration = new Calibration()
  const list = [endpoint(0)]
  serve(calibration, list, 3)
  const [learnt] = calibration.learnt(list)
  const pair = selectPair([candidate(learnt!)], size(6000)).ranked[0]!.candidate
  expect(predictedMs(pair) / (3 * prefillMs(profile.prefill, 6000, 0))).toBeCloseTo(1, 1)
  expect(calibration.learnt(list)).toBe(calibration.learnt(list))
})

test('what waited for others teaches nothing', () => {
  const calibration = new Calibration()
  const list = [endpoint(0)]
  const busy = calibration.learnt(list).map((one) => candidate(one, { load: { ...IDLE, backlogMs: 900 } }))
  for (let i = 0; i < 50; i++) {
    const request = size(4000)
    const pair = selectPair(busy, request).ranked[0]!.candidate
    const times = { startMs: 0, prefillEndMs: 5000, firstTokenMs: 5000 }
    calibration.noteServed({
      pair,
      size: request,
      ...times,
      promptTokens: null,
      cachedTokens: null,
      answerTokens: null,
    })
  }
  expect(calibration.report()[0]!.observations['prefill']!.taken).toBe(0)
  // How far off it was is told all the same.
  expect(calibration.report()[0]!.diagnoses).toContain('slower-than-predicted')
})

test('tiers and hand-offs are learnt from what they took beyond the prefill', () => {
  const calibration = new Calibration()
  const list = [endpoint(0, { role: 'prefill' }), endpoint(1, { role: 'decode' })]
  for (let i = 0; i < 40; i++) {
    const request = size(4000 + i * 200)
    const [p, d] = calibration.learnt(list)
    const warm = candidate(p!, { runs: [{ tier: 2, blocks: 200 + i * 5 }] })
    const busy = candidate(d!, { load: { ...IDLE, decoding: 500 } })
    const pair = selectPair([warm, busy], request).ranked.find((r) => r.candidate.prefill === warm)!.candidate
    const loadMs = ((200 + i * 5) * 16 * 262_144) / 10e6
    const restTokens = request.promptTokens - pair.reusedTokens
    const realMs = loadMs + prefillMs(p!.profile.prefill, restTokens, pair.reusedTokens)
    const pullMs = 20 + (request.promptTokens * 262_144) / 5e6
    calibration.noteServed({
      pair,
      size: request,
      startMs: 0,
      prefillEndMs: realMs,
      firstTokenMs: realMs + pullMs + pair.stepMs,
      promptTokens: null,
      cachedTokens: null,
      answerTokens: null,
    })
  }
  const [p, d] = calibration.learnt(list)
  expect(p!.profile.tiers['cpu']!.bytesPerMs / 10e6).toBeCloseTo(1, 0)
  expect(d!.profile.transfer.bytesPerMs / 5e6).toBeCloseTo(1, 0)
})

test('a hand-off to an endpoint with prefill of its own teaches nothing of its transfer', () => {
  const calibration = new Calibration()
  const list = [endpoint(0, { role: 'prefill' }), endpoint(1, { role: 'decode' })]
  const handOver = (backlogMs: number) => {
    const [p, d] = calibration.learnt(list)
    const busy = candidate(d!, { load: { ...IDLE, decoding: 500, backlogMs } })
    const pair = selectPair([candidate(p!), busy], size(4000)).ranked.find(
      ({ candidate: { prefill } }) => prefill.endpoint.number === 0,
    )!.candidate
    calibration.noteServed({
      pair,
      size: size(4000),
      startMs: 0,
      prefillEndMs: 300,
      firstTokenMs: 3000,
      promptTokens: null,
      cachedTokens: null,
      answerTokens: null,
    })
  }
  const taken = () =>
    calibration.report().find((one) => one.endpoint === 'e1')!.observations['transfer']!.taken
  for (let i = 0; i < 20; i++) handOver(100)
  expect(taken()).toBe(0)
  handOver(0)
  expect(taken()).toBe(1)
})

const sample = (more: Partial<CostSample> = {}): CostSample => ({
  startS: 1,
  running: 20,
  waiting: 0,
  kvUsage: 0.1,
  kvTokens: 200_000,
  computedTokens: 0,
  generatedTokens: 0,
  finished: 0,
  gapSumS: 0,
  gaps: 0,
  loadBytes: null,
  loadS: null,
  pullBytes: null,
  pullS: null,
  adapters: null,
  ...more,
})

test('the decode step is learnt from the gaps between tokens', () => {
  const calibration = new Calibration()
  const one = endpoint(0)
  calibration.learnt([one])
  let gaps = 0
  let gapSumS = 0
  for (let second = 0; second < 60; second++) {
    const sequences = 5 + (second % 40)
    const contextTokens = sequences * (1000 + (second % 7) * 300)
    const stepMs = 26 + 0.2 * sequences + 1e-4 * contextTokens
    gaps += (sequences * 1000) / stepMs
    gapSumS += sequences
    const booked = { waiting: 0, decoding: sequences, contextTokens }
    calibration.noteMetrics(one, sample({ gaps, gapSumS, running: sequences }), booked, second * 1000)
  }
  const [{ profile: learnt } = one] = calibration.learnt([one])
  const stepMs =
    learnt.decodeStepMs + learnt.decodeMsPerSequence * 20 + learnt.decodeMsPerContextToken! * 40_000
  expect(stepMs / (26 + 4 + 4)).toBeCloseTo(1, 1)
  expect(learnt.kvTokens).toBe(200_000)
})

test('shared space and sequences of others are seen, those that pass by are not', () => {
  const calibration = new Calibration()
  const one = endpoint(0)
  const booked = { waiting: 0, decoding: 20, contextTokens: 40_000 }
  for (let i = 0; i < 30; i++) calibration.noteMetrics(one, sample(), booked, i * 1000)
  // 0.1 of 200,000 tokens are used where 40,000 are booked.
  expect(calibration.standing(one).pinnedShare).toBeCloseTo(0.5, 2)
  expect(calibration.standing(one).foreign).toEqual({ waiting: 0, decoding: 0 })
  calibration.noteMetrics(one, sample({ running: 25, waiting: 7 }), booked, 31_000)
  expect(calibration.standing(one).foreign).toEqual({ waiting: 0, decoding: 0 })
  for (let i = 32; i < 34; i++)
    calibration.noteMetrics(one, sample({ running: 25, waiting: 7 }), booked, i * 1000)
  expect(calibration.standing(one).foreign).toEqual({ waiting: 7, decoding: 5 })
  expect(calibration.report()[0]!.diagnoses).toContain('foreign-load')
})

test('impossible metrics are named and change nothing', () => {
  const calibration = new Calibration()
  const one = endpoint(0)
  for (let i = 0; i < 20; i++)
    calibration.noteMetrics(
      one,
      sample({ kvUsage: i % 2 ? 7 : 0.1, gaps: i % 2 ? 1e6 : 0 }),
      { waiting: 0, decoding: 20, contextTokens: 40_000 },
      i * 1000,
    )
  const [report] = calibration.report()
  expect(report!.diagnoses).toContain('impossible-metrics')
  expect([report!.pinnedShare, report!.learnt.decodeStepMs]).toEqual([1, 13])
})

test('laws outlive the process by the name of the endpoint, and a new one begins with what its likes taught', () => {
  const calibration = new Calibration()
  const list = [endpoint(0)]
  serve(calibration, list, 4)
  const saved = JSON.parse(JSON.stringify(calibration.save())) as ReturnType<Calibration['save']>
  const next = new Calibration(saved)
  const [again, other] = next.learnt([endpoint(3, { name: 'e0' }), endpoint(4)])
  expect(again!.profile.prefill.msPerToken).toBeCloseTo(
    calibration.learnt(list)[0]!.profile.prefill.msPerToken,
    9,
  )
  expect(other!.profile.prefill).toEqual(again!.profile.prefill)
  // Other hardware under another profile begins as configured.
  const strange = endpoint(5, { profile: { ...profile, kvTokens: 1 } })
  expect(next.learnt([strange])[0]!.profile).toEqual(strange.profile)
})

test('endpoints that left are remembered, the latest of them', () => {
  const calibration = new Calibration()
  for (let i = 0; i < SAVED_MAX + 3; i++) {
    const one = endpoint(0, { name: `e${i}` })
    serve(calibration, [one], 2, i < 4 || i > SAVED_MAX ? 8 : 0)
    calibration.learnt([one])
    calibration.release(0)
  }
  const names = Object.keys(calibration.save())
  expect(names.length).toBeLessThanOrEqual(SAVED_MAX)
  expect(names).toContain(`e${SAVED_MAX + 2}`)
})

test('answers are expected to be as long as they are, within what the request allows', () => {
  const answers = new AnswerLengths()
  expect(answers.expected('m', 100)).toBe(100)
  for (let i = 0; i < 500; i++) answers.note('m', 40)
  for (const nonsense of [Number.NaN, -1, Infinity]) answers.note('m', nonsense)
  expect(answers.expected('m', null)).toBeCloseTo(40, 0)
  expect(answers.expected('other', null)).toBe(512)
})

test('what loading an adapter takes is learnt from requests that found it cold, and kept', () => {
  const calibration = new Calibration()
  const list = [endpoint(0)]
  const request = size(500)
  const serveCold = (loadMs: number, adapter: 'cold' | 'full' | 'loaded') => {
    const [learnt] = calibration.learnt(list)
    const pair = selectPair([candidate(learnt!, { adapter })], request).ranked[0]!.candidate
    const realMs = prefillMs(profile.prefill, request.promptTokens, 0) + loadMs
    const usage = { promptTokens: 500, cachedTokens: 0, answerTokens: 50 }
    calibration.noteServed({
      pair,
      size: request,
      startMs: 0,
      prefillEndMs: realMs,
      firstTokenMs: realMs,
      ...usage,
    })
  }
  for (let i = 0; i < 32; i++) {
    // Every eighth was loaded all the same.
    serveCold(i % 8 === 0 ? 1 : 900 + (i % 5), 'cold')
    serveCold(0, 'loaded')
    serveCold(5000, 'full')
  }
  const { adapterLoadMs, prefill } = calibration.learnt(list)[0]!.profile
  expect(adapterLoadMs).toBeGreaterThan(850)
  expect(adapterLoadMs).toBeLessThan(950)
  // The prefill law learns nothing of them.
  expect(prefillMs(prefill, 500, 0)).toBeCloseTo(prefillMs(profile.prefill, 500, 0), 0)
  const again = new Calibration(calibration.save())
  expect(again.learnt(list)[0]!.profile.adapterLoadMs).toBeCloseTo(adapterLoadMs!, 3)
})
