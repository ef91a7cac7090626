import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  cheapestReuse,
  disturbanceMs,
  loadMs,
  prefillMs,
  shadowFactor,
  wholeReuse,
  KV_PRESSURE_MAX,
} from '../../core/cost-model.ts'
import { TIERS, tierByMedium, tierByName, tierByNumber } from '../../core/tiers.ts'

/** Qwen3-32B, TP2 on H100: 30 ms + n / 15.928 ms, attention 2e-6 ms a pair of tokens. */
const LAW = { fixedMs: 30, msPerToken: 1 / 15.928, msPerTokenPair: 2e-6 }
const KV_BYTES = 262_144
const slow = { floorMs: 0, bytesPerMs: 0.2e6 }
const gpu = TIERS[0].cost
const cpu = { floorMs: 1, bytesPerMs: 50e6 }

test('prefill follows the law', () => {
  expect(prefillMs(LAW, 0, 5000)).toBe(0)
  expect(prefillMs(LAW, 6500, 0)).toBeCloseTo(30 + 6500 / 15.928 + 2e-6 * 6500 ** 2 * 0.5, 6)
  expect(prefillMs(LAW, 500, 6000)).toBeCloseTo(30 + 500 / 15.928 + 2e-6 * (500 * 6000 + 125_000), 6)
})

test('loading is free from the GPU and has a floor elsewhere', () => {
  expect(loadMs(gpu, 1e9)).toBe(0)
  expect(loadMs(cpu, 0)).toBe(0)
  expect(loadMs(cpu, 50e6)).toBe(2)
})

test('the shadow price is neutral when idle, rises with pressure and stays finite', () => {
  expect(shadowFactor(0)).toBe(1)
  expect(shadowFactor(0.5, 0.25)).toBeCloseTo(1.25, 9)
  expect(shadowFactor(2)).toBe(shadowFactor(KV_PRESSURE_MAX))
  expect(shadowFactor(-1)).toBe(1)
})

test('a prefill disturbs by its length, and whom it keeps out by the square of it', () => {
  expect(disturbanceMs({ stallShare: 0.5, comingPerMs: 0 }, 100)).toBe(50)
  expect(disturbanceMs({ stallShare: 0, comingPerMs: 0.01 }, 100)).toBe(50)
  expect(disturbanceMs({ stallShare: 0, comingPerMs: 0.01 }, 200)).toBe(200)
})

test('a tier slower than recompute is not loaded', () => {
  const reuse = cheapestReuse(LAW, KV_BYTES, 6500, [{ tier: 'disk', tokens: 6000, cost: slow }])
  expect(reuse).toMatchObject({ reusedTokens: 0, loadMs: 0, tier: null })
  const fast = cheapestReuse(LAW, KV_BYTES, 6500, [{ tier: 'cpu', tokens: 6000, cost: cpu }])
  expect(fast).toMatchObject({ reusedTokens: 6000, tier: 'cpu' })
})

test('what lies behind a part not worth loading is not reused: the prefix must be whole', () => {
  const reuse = cheapestReuse(LAW, KV_BYTES, 6500, [
    { tier: 'gpu', tokens: 1000, cost: gpu },
    { tier: 'disk', tokens: 4000, cost: slow },
    { tier: 'gpu', tokens: 16, cost: gpu },
  ])
  expect(reuse).toMatchObject({ reusedTokens: 1000, loadMs: 0, tier: 'gpu' })
})

test('the last token is computed even when all are cached', () => {
  const reuse = cheapestReuse(LAW, KV_BYTES, 64, [{ tier: 'gpu', tokens: 64, cost: gpu }])
  expect(reuse.reusedTokens).toBe(63)
  expect(reuse.prefillMs).toBeGreaterThan(0)
})

test('reuse never costs more than computing everything', () => {
  const part = fc.record({
    tier: fc.constantFrom('gpu', 'cpu', 'disk'),
    tokens: fc.nat(5000),
    cost: fc.record({ floorMs: fc.nat(50), bytesPerMs: fc.double({ min: 1e3, max: 1e9, noNaN: true }) }),
  })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20_000 }), fc.array(part, { maxLength: 5 }), (tokens, parts) => {
      const reuse = cheapestReuse(LAW, KV_BYTES, tokens, parts)
      expect(reuse.loadMs + reuse.prefillMs).toBeLessThanOrEqual(prefillMs(LAW, tokens, 0))
      expect(reuse.reusedTokens).toBeLessThan(tokens)
    }),
  )
})

test('tiers are found by name, number and medium, each once', () => {
  for (const tier of TIERS) {
    expect(tierByNumber(tier.number)).toBe(tier)
    expect(tierByName(tier.name)).toBe(tier)
    for (const medium of tier.media) expect(tierByMedium(medium.toUpperCase())).toBe(tier)
  }
  expect(tierByMedium(null)?.name).toBe('gpu')
  expect(tierByMedium('HOLOGRAM')).toBeNull()
  expect(tierByNumber(0)).toBeNull()
  expect(new Set(TIERS.flatMap((tier) => tier.media)).size).toBe(TIERS.flatMap((tier) => tier.media).length)
  expect(TIERS.every((tier) => tier.number >= 1 && tier.number <= 14)).toBe(true)
})

test('an engine that loads whatever it holds is priced as it behaves', () => {
  const part = { tier: 'disk', tokens: 6000, cost: { floorMs: 2, bytesPerMs: 200_000 } }
  const bytes = 6000 * 262_144
  const whole = wholeReuse(LAW, 262_144, 6500, [part])
  expect(whole.loadMs).toBeCloseTo(2 + bytes / 200_000)
  expect(whole).toMatchObject({ reusedTokens: 6000, tier: 'disk', prefillMs: prefillMs(LAW, 500, 6000) })
  expect(cheapestReuse(LAW, 262_144, 6500, [part])).toMatchObject({ reusedTokens: 0, tier: null })
  expect(wholeReuse(LAW, 262_144, 6500, [])).toMatchObject({ reusedTokens: 0, loadMs: 0, tier: null })
})
