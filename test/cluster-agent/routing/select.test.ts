import { expect, test } from 'vitest'
import type { Candidate } from '../../../cluster-agent/routing/candidate.ts'
import { IDLE, type EndpointLoad, type Role } from '../../../cluster-agent/routing/endpoint.ts'
import { gpuMs, predictedMs, selectPair } from '../../../cluster-agent/routing/select.ts'
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
  answerTokens: 200,
  kvBytesPerToken: 262_144,
  blockTokens: 16,
  isSplittable: true,
}

const load = (more: Partial<EndpointLoad>): EndpointLoad => ({ ...IDLE, ...more })

function candidate(number: number, role: Role, more: Partial<Candidate> = {}): Candidate {
  return {
    endpoint: { number, name: `e${number}`, role, version: null, profile },
    load: IDLE,
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
  const busy = { ...warm, load: load({ backlogMs: 600 }) }
  expect(names([candidate(0, 'both'), candidate(1, 'both', busy)])).toEqual(['e0', 'e0'])
})

test('a tier slower than recompute does not attract', () => {
  const slow = candidate(1, 'both', {
    runs: [{ tier: 3, blocks: 375 }],
    load: load({ backlogMs: 1 }),
  })
  expect(names([candidate(0, 'both'), slow])).toEqual(['e0', 'e0'])
  const dram = candidate(1, 'both', {
    runs: [{ tier: 2, blocks: 375 }],
    load: load({ backlogMs: 1 }),
  })
  expect(names([candidate(0, 'both'), dram])).toEqual(['e1', 'e1'])
})

test('an endpoint that must load from a slow tier is avoided though it is idle, unless its engine would compute', () => {
  const slow = candidate(0, 'both', { runs: [{ tier: 3, blocks: 375 }] })
  const busy = candidate(1, 'both', { load: load({ backlogMs: 500 }) })
  // 8.6 s of load against 0.5 s of queue and 0.5 s of prefill.
  expect(names([slow, busy])).toEqual(['e1', 'e1'])
  expect(selectPair([slow], size).ranked[0]!.candidate.loadMs).toBeCloseTo((6000 * 262_144) / 0.2e6)
  const clever = { ...slow.endpoint, profile: { ...profile, loadsIfCheaper: true } }
  expect(names([{ ...slow, endpoint: clever }, busy])).toEqual(['e0', 'e0'])
})

test('prefill endpoints do not decode while others live; the hand-off is part of the price', () => {
  const cold = [candidate(0, 'prefill'), candidate(1, 'decode', { load: load({ decoding: 40 }) })]
  expect(names(cold)).toEqual(['e0', 'e1'])
  const pair = selectPair(cold, size).ranked[0]!.candidate
  expect(pair.handoffMs).toBeCloseTo(2 + (6500 * 262_144) / 40e6, 5)
  expect(predictedMs(pair)).toBeCloseTo(pair.prefillMs + pair.handoffMs + 13 + 0.1 * 41, 5)
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
  const decoding = { load: load({ decoding: 10 }) }
  const pair = selectPair([candidate(0, 'both', decoding)], { ...size, promptTokens: 40_000 }).ranked[0]!
    .candidate
  // The pass over the weights is in the prefill's fixed part for the first of its ten steps.
  expect(pair.shareMs).toBeCloseTo(10 * 0.1 * 10 + 9 * 13, 6)
  expect(predictedMs(pair)).toBe(pair.prefillMs + pair.shareMs)
  expect(selectPair([candidate(0, 'both')], size).ranked[0]!.candidate.shareMs).toBe(0)
})

test('a prompt is not handed to an engine that is in the middle of a long prefill of its own', () => {
  const prefill = candidate(0, 'prefill')
  // Well beyond the 572 ms that the prompt takes elsewhere.
  const blocked = candidate(1, 'decode', { load: load({ backlogMs: 5000 }) })
  const crowded = candidate(2, 'decode', { load: load({ decoding: 40, answerTokens: 200 }) })
  expect(names([prefill, blocked, crowded])).toEqual(['e0', 'e2'])
  const [pair] = selectPair([prefill, blocked], size).ranked
  expect(predictedMs(pair!.candidate)).toBeGreaterThan(5000)
})

test('a prompt is handed to who has room, not to who is a little nearer', () => {
  const [first, second] = [candidate(1, 'decode'), candidate(2, 'decode')]
  const near = { ...profile, transfer: { ...profile.transfer, bytesPerMs: 44e6 } }
  const crowded = {
    ...first,
    endpoint: { ...first.endpoint, profile: near },
    load: load({ decoding: 20, answerTokens: 200 }),
  }
  const empty = { ...second, load: load({ decoding: 2, answerTokens: 200 }) }
  const decodeOf = (list: Candidate[]) =>
    selectPair(list, size).ranked.find(({ candidate: { prefill } }) => prefill.endpoint.role === 'prefill')!
      .candidate.decode.endpoint.name
  expect(decodeOf([candidate(0, 'prefill'), crowded, empty])).toBe('e2')
  expect(decodeOf([candidate(0, 'prefill'), { ...crowded, load: empty.load }, empty])).toBe('e1')
})

test('a prefill on a decode endpoint costs those that it keeps out, with the square of its length', () => {
  const costMs = (promptTokens: number) => {
    const decoding = candidate(0, 'decode', { load: load({ decoding: 20, answerTokens: 200 }) })
    const { disturbanceMs, prefillMs } = selectPair([decoding], { ...size, promptTokens }).ranked[0]!
      .candidate
    return disturbanceMs / prefillMs
  }
  expect(costMs(6500)).toBeGreaterThan(0.5)
  const [short, long] = [costMs(6500) - 0.5, costMs(65_000) - 0.5]
  expect(long).toBeGreaterThan(10 * short)
})

test('legs of different engine versions are not paired', () => {
  const old = candidate(0, 'prefill')
  const mixed = [
    { ...old, endpoint: { ...old.endpoint, version: '0.31.0' } },
    candidate(1, 'decode', { load: load({ decoding: 9 }) }),
  ]
  expect(names(mixed)).toEqual(['e1', 'e1'])
})

test('KV space that runs out makes prefill dearer, not the prediction', () => {
  const full = candidate(0, 'both', { load: load({ kvPressure: 0.9 }) })
  expect(names([full, candidate(1, 'both', { load: load({ backlogMs: 100 }) })])).toEqual(['e1', 'e1'])
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
  const busy = [candidate(0, 'prefill'), candidate(1, 'decode', { load: load({ decoding: 40 }) })]
  const best = selectPair(busy, { ...size, isSplittable: false }).ranked[0]?.candidate
  expect([best?.prefill.endpoint.name, best?.decode.endpoint.name]).toEqual(['e1', 'e1'])
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
    load: load({ backlogMs: 300 }),
  })
  expect(names([cold, burst])).toEqual(['e1', 'e1'])
})

test('a failed request is expected nowhere; one that was spread is expected at each place', () => {
  const speculation = new Speculation()
  const markers = Uint32Array.of(256, 1, 1, 512, 2, 2)
  for (const endpoint of [3, 4, 5]) speculation.note(endpoint, markers, 0)
  expect(speculation.match(markers, 10)).toEqual(
    new Map([
      [5, 512],
      [4, 512],
      [3, 512],
    ]),
  )
  speculation.forget(4, markers)
  expect([...speculation.match(markers, 10).keys()]).toEqual([5, 3])
  for (const endpoint of [3, 5]) speculation.forget(endpoint, markers)
  expect(speculation.size).toBe(0)
})

test('a hot prefix is spread when its queue costs more than a second prefill, and pulled when that is cheaper', () => {
  const runs = [{ tier: 1, blocks: 400 }]
  const peerPull = { floorMs: 30, bytesPerMs: 15e6 }
  const withPull = (c: Candidate, pull = peerPull) => ({
    ...c,
    endpoint: { ...c.endpoint, profile: { ...profile, peerPull: pull } },
  })
  const hot = withPull(candidate(0, 'both', { runs, pullableTokens: 6400, load: load({ backlogMs: 400 }) }))
  expect(names([hot, candidate(1, 'both')])).toEqual(['e0', 'e0'])
  const hotter = { ...hot, load: load({ backlogMs: 900 }) }
  expect(names([hotter, candidate(1, 'both')])).toEqual(['e1', 'e1'])
  const pulling = withPull(candidate(1, 'both'))
  const pair = selectPair([hot, pulling], size).ranked[0]!.candidate
  expect(pair).toMatchObject({ tier: 'peer', reusedTokens: 6400, source: { endpoint: { name: 'e0' } } })
  expect(pair.loadMs).toBeCloseTo(30 + (6400 * 262_144) / 15e6, 6)
  // Equal block hashes need the same version, and a pull dearer than recompute is none.
  const old = { ...hot, endpoint: { ...hot.endpoint, version: '0.31.0' } }
  expect(selectPair([old, pulling], size).ranked.every((r) => r.candidate.source === null)).toBe(true)
  const slow = withPull(pulling, { floorMs: 30, bytesPerMs: 1e6 })
  expect(selectPair([hotter, slow], size).ranked[0]!.candidate.source).toBeNull()
  // What is handed over is not pulled: a request has one set of transfer params.
  const far = candidate(2, 'decode', { load: load({ decoding: 9 }) })
  for (const { candidate: c } of selectPair([hot, pulling, far], size).ranked)
    if (c.prefill !== c.decode) expect(c.source).toBeNull()
})

test('a cold adapter costs its load; one that finds every slot in use waits for an answer to end', () => {
  const busy = { load: load({ decoding: 4, answerTokens: 100 }) }
  const of = (adapter: 'loaded' | 'cold' | 'full') =>
    selectPair([candidate(0, 'both', { ...busy, adapter })], size).ranked[0]!.candidate.adapterMs
  expect([of('loaded'), of('cold')]).toEqual([0, 200])
  expect(of('full')).toBeCloseTo(200 + (100 * (13 + 0.4)) / 4, 6)
  const here = candidate(1, 'both', { adapter: 'loaded', load: load({ backlogMs: 150 }) })
  expect(names([candidate(0, 'both', { adapter: 'cold' }), here])).toEqual(['e1', 'e1'])
})

test('who finds no KV space is told how long it will take', () => {
  const full = load({ pinnedTokens: 307_000, kvPressure: 1, decoding: 100, answerTokens: 200 })
  const pair = selectPair([candidate(0, 'both', { load: full })], size).ranked[0]!.candidate
  const answerMs = 200 * (13 + 0.1 * 100)
  expect(pair.kvWaitMs).toBeCloseTo(((307_000 + 6500 - 307_328) / 307_000) * answerMs, 6)
  expect(predictedMs(pair)).toBeGreaterThan(pair.prefillMs + pair.kvWaitMs)
})

test('what the policy asks is weighed in milliseconds', () => {
  const fast = candidate(0, 'both', { load: load({ decoding: 200, backlogMs: 0 }) })
  const calm = candidate(1, 'both', { load: load({ backlogMs: 100 }) })
  expect(selectPair([fast, calm], size).ranked[0]!.candidate.decode).toBe(fast)
  const paced = selectPair([fast, calm], { ...size, sloItlMs: 20 }).ranked[0]!.candidate
  expect(paced.decode).toBe(calm)
  // A crowded endpoint that is on time beats a roomy one that is late.
  const crowded = candidate(0, 'both', { load: load({ kvPressure: 0.5 }) })
  const roomy = candidate(1, 'both', { load: load({ backlogMs: 150 }) })
  expect(selectPair([crowded, roomy], size).ranked[0]!.candidate.decode).toBe(roomy)
  const asked = { ...size, sloTtftMs: 500 }
  expect(selectPair([crowded, roomy], asked).ranked[0]!.candidate.decode).toBe(crowded)
})

test('GPU time is prefill and what the answer adds to the steps of others', () => {
  const pair = selectPair([candidate(0, 'both')], size).ranked[0]!.candidate
  expect(gpuMs(pair, size)).toBeCloseTo(pair.prefillMs + 200 * 0.1, 9)
})
