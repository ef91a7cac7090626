/** Invariants of the choice: no forbidden pair, nothing cheaper left out, a price that rises with each of its terms. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Candidate, RequestSize } from '../../../cluster-agent/routing/candidate.ts'
import type { EndpointLoad } from '../../../cluster-agent/routing/endpoint.ts'
import { predictedMs, RANKED_MAX, selectPair, type Pair } from '../../../cluster-agent/routing/select.ts'

const profile = fc.record({
  prefill: fc.record({
    fixedMs: fc.nat(50),
    msPerToken: fc.double({ min: 0.01, max: 0.5, noNaN: true }),
    msPerTokenPair: fc.double({ min: 0, max: 1e-5, noNaN: true }),
  }),
  decodeStepMs: fc.integer({ min: 1, max: 40 }),
  decodeMsPerSequence: fc.double({ min: 0, max: 1, noNaN: true }),
  decodeMsPerContextToken: fc.double({ min: 0, max: 1e-4, noNaN: true }),
  batchTokensMax: fc.constantFrom(512, 4096),
  kvTokens: fc.constantFrom(4000, 100_000),
  tiers: fc.constant({ cpu: { floorMs: 1, bytesPerMs: 40e6 } }),
  transfer: fc.constant({ floorMs: 2, bytesPerMs: 20e6 }),
  peerPull: fc.option(fc.constant({ floorMs: 20, bytesPerMs: 15e6 }), { nil: undefined }),
})
const load: fc.Arbitrary<EndpointLoad> = fc.record({
  backlogMs: fc.nat(2000),
  backlogTokens: fc.nat(30_000),
  pinnedTokens: fc.nat(120_000),
  kvPressure: fc.double({ min: 0, max: 1, noNaN: true }),
  decoding: fc.nat(200),
  contextTokens: fc.nat(200_000),
  answerTokens: fc.nat(1000),
})
const candidates: fc.Arbitrary<Candidate[]> = fc
  .array(
    fc.record({
      role: fc.constantFrom('prefill', 'decode', 'both'),
      version: fc.constantFrom('0.31', '0.32', null),
      profile,
      load,
      runs: fc.array(fc.record({ tier: fc.constantFrom(1, 2), blocks: fc.nat(300) }), { maxLength: 2 }),
      speculativeTokens: fc.nat(2000),
      pullableTokens: fc.nat(8000),
      unavailable: fc.option(fc.constantFrom('tried', 'unhealthy'), { freq: 1 }),
    }),
    { maxLength: 10 },
  )
  .map((list) =>
    list.map(({ role, version, profile, ...state }, number) => ({
      ...state,
      unavailable: number % 3 === 0 ? state.unavailable : null,
      endpoint: { number, name: `e${number}`, role, version, profile },
    })),
  )
const size: fc.Arbitrary<RequestSize> = fc.record({
  promptTokens: fc.integer({ min: 1, max: 20_000 }),
  answerTokens: fc.integer({ min: 1, max: 2000 }),
  kvBytesPerToken: fc.constant(262_144),
  blockTokens: fc.constant(16),
  isSplittable: fc.boolean(),
  sloTtftMs: fc.option(fc.integer({ min: 1, max: 2000 })),
  sloItlMs: fc.option(fc.integer({ min: 1, max: 50 })),
})

const priceOf = (pair: Pair) => predictedMs(pair) + pair.shadowMs + pair.disturbanceMs + pair.sloMs

/** The rules in words of their own. */
function isForbidden({ prefill, decode, source }: Pair, all: readonly Candidate[], isSplittable: boolean) {
  const hasDecoders = all.some((c) => c.unavailable === null && c.endpoint.role !== 'prefill')
  if (prefill.unavailable !== null || decode.unavailable !== null) return true
  if (hasDecoders && decode.endpoint.role === 'prefill') return true
  if (source && (source.unavailable !== null || source === prefill)) return true
  if (source && source.endpoint.version !== prefill.endpoint.version) return true
  if (prefill === decode) return false
  return (
    !isSplittable ||
    prefill.endpoint.role === 'decode' ||
    prefill.endpoint.version !== decode.endpoint.version
  )
}

test('no forbidden pair is ever named, each once, cheapest first, and the price is the sum of its terms', () => {
  fc.assert(
    fc.property(candidates, size, (all, request) => {
      const { ranked, rejected } = selectPair(all, request)
      expect(ranked.length).toBeLessThanOrEqual(RANKED_MAX)
      expect(rejected.map(({ candidate }) => candidate)).toEqual(all.filter((c) => c.unavailable !== null))
      for (const { candidate, costMs } of ranked) {
        expect(isForbidden(candidate, all, request.isSplittable)).toBe(false)
        expect(costMs).toBeCloseTo(priceOf(candidate), 6)
      }
      expect(ranked.map(({ costMs }) => costMs)).toEqual(
        ranked.map(({ costMs }) => costMs).toSorted((a, b) => a - b),
      )
      const keys = ranked.map(({ candidate: c }) => `${c.prefill.endpoint.name} ${c.decode.endpoint.name}`)
      expect(new Set(keys).size).toBe(keys.length)
    }),
    { numRuns: 300 },
  )
})

test('those named are the cheapest of all allowed pairs, each priced alone', () => {
  fc.assert(
    fc.property(candidates, size, (list, request) => {
      const all = list.map((c) => {
        const profile = { ...c.endpoint.profile, peerPull: undefined }
        return { ...c, unavailable: null, endpoint: { ...c.endpoint, profile } }
      })
      // Two endpoints at a time: all of their pairs are named.
      const costs = new Map<string, { costMs: number; fits: boolean }>()
      for (const a of all)
        for (const b of all)
          for (const { candidate, costMs } of selectPair(a === b ? [a] : [a, b], request).ranked) {
            if (isForbidden(candidate, all, request.isSplittable)) continue
            const { prefill, decode } = candidate
            const fits = request.promptTokens <= decode.endpoint.profile.kvTokens
            costs.set(`${prefill.endpoint.name} ${decode.endpoint.name}`, { costMs, fits })
          }
      const some = [...costs.values()].some(({ fits }) => fits)
      const expected = [...costs.values()]
        .filter(({ fits }) => fits || !some)
        .map(({ costMs }) => costMs)
        .sort((a, b) => a - b)
        .slice(0, RANKED_MAX)
      const named = selectPair(all, request).ranked.map(({ costMs }) => costMs)
      expect(named.length).toBe(expected.length)
      for (const [at, costMs] of named.entries()) expect(costMs).toBeCloseTo(expected[at]!, 6)
    }),
    { numRuns: 300 },
  )
})

test('the price never falls when a term of it rises', () => {
  const terms: readonly (keyof EndpointLoad)[] = ['backlogMs', 'pinnedTokens', 'kvPressure', 'decoding']
  fc.assert(
    fc.property(candidates, size, fc.constantFrom(...terms), fc.nat(500), (all, request, term, more) => {
      const [first] = all.filter((c) => c.unavailable === null)
      if (!first || more === 0) return
      // Little's law needs somebody who decodes: nobody and somebody are two cases, not one that rises.
      const base = { ...first, load: { ...first.load, decoding: first.load.decoding + 1 } }
      const added = term === 'kvPressure' ? more / 500 : more
      const busier = { ...base, load: { ...base.load, [term]: base.load[term] + added } }
      const [before] = selectPair([base], request).ranked
      const [after] = selectPair([busier], request).ranked
      expect(after?.costMs ?? 0).toBeGreaterThanOrEqual((before?.costMs ?? 0) - 1e-6)
    }),
    { numRuns: 500 },
  )
})

test('a price that is not a number names nobody', () => {
  fc.assert(
    fc.property(candidates, size, (all, request) => {
      const broken = all.map((c) => ({ ...c, load: { ...c.load, backlogMs: Number.NaN } }))
      expect(selectPair(broken, request).ranked).toEqual([])
    }),
    { numRuns: 50 },
  )
})
