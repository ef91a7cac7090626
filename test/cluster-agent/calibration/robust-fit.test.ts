import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FACTOR_MAX, RobustFit } from '../../../cluster-agent/calibration/robust-fit.ts'

/** A fixed sequence for each seed, of numbers from 0 to 1. */
function random(seed: number): () => number {
  let state = seed >>> 0 || 1
  return () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9
    return ((state ^ (state >>> 13)) >>> 0) / 0x1_0000_0000
  }
}

const TRUE_LAW = [30, 0.063, 2e-6]
const PRIOR = [30, 0.063, 2e-6]

function prefillTerms(next: () => number): number[] {
  const tokens = Math.round(100 + next() ** 2 * 20_000)
  const cached = Math.round(next() * 20_000)
  return [1, tokens, tokens * cached + (tokens * tokens) / 2]
}
const apply = (law: readonly number[], x: readonly number[]) =>
  law.reduce((sum, coefficient, j) => sum + coefficient * (x[j] ?? 0), 0)

interface World {
  readonly noise?: number
  readonly outliers?: number
  readonly observations?: number
}

function learn(fit: RobustFit, law: readonly number[], seed: number, world: World = {}): void {
  const { noise = 0, outliers = 0, observations = 128 } = world
  const next = random(seed)
  for (let i = 0; i < observations; i++) {
    const x = prefillTerms(next)
    const isOutlier = next() < outliers
    const ms = apply(law, x) * (1 + noise * (next() * 2 - 1)) * (isOutlier ? 2 + next() * 20 : 1)
    fit.add(x, ms)
  }
}

/** The farthest that predictions of a law are off another, over usual prompts. */
function farthest(fit: RobustFit, law: readonly number[]): number {
  const next = random(99)
  return Math.max(
    ...Array.from({ length: 50 }, () => {
      const x = prefillTerms(next)
      return Math.abs(Math.log(apply(fit.coefficients, x) / apply(law, x)))
    }),
  )
}

test('until something was seen the prior holds; then only its scale is learnt; then its shape', () => {
  const fit = new RobustFit(PRIOR)
  const law = [10, 0.2, 1e-6]
  learn(fit, law, 1, { observations: 7 })
  expect([fit.isLearnt, fit.coefficients]).toEqual([false, PRIOR])
  learn(fit, law, 1, { observations: 1 })
  expect(new Set(fit.factors).size).toBe(1)
  learn(fit, law, 2)
  expect(farthest(fit, law)).toBeLessThan(0.05)
})

test('it converges on the true law from any prior within reach, through noise and outliers', () => {
  const factor = fc.double({ min: 0.1, max: 10, noNaN: true })
  fc.assert(
    fc.property(
      fc.tuple(factor, factor, factor),
      fc.integer(),
      fc.constantFrom<World>({}, { noise: 0.2 }, { noise: 0.1, outliers: 0.25 }),
      (factors, seed, world) => {
        const fit = new RobustFit(PRIOR)
        const law = TRUE_LAW.map((coefficient, j) => coefficient * (factors[j] ?? 1))
        learn(fit, law, seed, { ...world, observations: 192 })
        // Prompts of this mix hardly tell a small fixed part from noise.
        expect(farthest(fit, law)).toBeLessThan(world.noise === undefined ? 0.15 : 0.4)
      },
    ),
    { numRuns: 60, seed: 4 },
  )
})

test('it errs towards dear', () => {
  let dear = 0
  const law = TRUE_LAW.map((coefficient) => coefficient * 2)
  for (let seed = 1; seed <= 20; seed++) {
    const fit = new RobustFit(PRIOR)
    learn(fit, law, seed, { noise: 0.3 })
    if (apply(fit.coefficients, [1, 6000, 18e6]) >= apply(law, [1, 6000, 18e6])) dear++
  }
  expect(dear).toBeGreaterThan(12)
})

test('engines of one kind keep one law while what is seen of them only scatters', () => {
  let kept = 0
  const slower = TRUE_LAW.map((coefficient) => coefficient * 1.5)
  for (let seed = 1; seed <= 20; seed++) {
    const fit = new RobustFit(PRIOR)
    learn(fit, TRUE_LAW, seed, { noise: 0.3 })
    if (fit.factors.every((factor) => factor === 1)) kept++
    learn(fit, slower, seed, { noise: 0.3 })
    expect(apply(fit.coefficients, [1, 6000, 18e6])).toBeGreaterThan(apply(PRIOR, [1, 6000, 18e6]) * 1.3)
  }
  expect(kept).toBeGreaterThan(14)
})

test('a prior that is beyond reach is left as far behind as one can, too dear or too cheap', () => {
  for (const [factor, reached] of [
    [1 / 1000, 1 / FACTOR_MAX],
    [1000, FACTOR_MAX],
  ] as const) {
    const fit = new RobustFit(PRIOR)
    learn(
      fit,
      TRUE_LAW.map((coefficient) => coefficient * factor),
      5,
      { noise: 0.2 },
    )
    expect(fit.factors[1]! / reached).toBeCloseTo(1)
  }
})

test('a change for good is followed within a few requests, not after the window', () => {
  const fit = new RobustFit(PRIOR)
  learn(fit, TRUE_LAW, 3, { noise: 0.05 })
  const slower = TRUE_LAW.map((coefficient) => coefficient * 3)
  learn(fit, slower, 4, { noise: 0.05, observations: 40 })
  expect(farthest(fit, slower)).toBeLessThan(0.2)
})

test('what is impossible is counted and not learnt', () => {
  const fit = new RobustFit(PRIOR)
  for (const ms of [Number.NaN, -1, 0, Infinity, 1e9]) fit.add([1, 100, 100], ms)
  fit.add([1, Number.NaN, 0], 5)
  fit.add([0, 0, 0], 5)
  fit.add([1, -5, 0], 5)
  expect(fit.counts).toEqual({ taken: 0, impossible: 8 })
  expect(fit.coefficients).toEqual(PRIOR)
})

test('whatever it is fed, coefficients stay positive and within reach of the prior', () => {
  const observation = fc.tuple(
    fc.double({ min: 0, max: 1e5, noNaN: true }),
    fc.double({ min: 0, max: 1e9, noNaN: true }),
    fc.oneof(fc.double(), fc.double({ min: 0.001, max: 1e5, noNaN: true })),
  )
  fc.assert(
    fc.property(fc.array(observation, { maxLength: 200, size: 'max' }), (observations) => {
      const fit = new RobustFit(PRIOR)
      for (const [tokens, pairs, ms] of observations) fit.add([1, tokens, pairs], ms)
      for (const factor of fit.factors) {
        expect(factor).toBeGreaterThanOrEqual(1 / FACTOR_MAX ** 2)
        expect(factor).toBeLessThanOrEqual(FACTOR_MAX)
      }
    }),
    { numRuns: 100 },
  )
})

test('it goes on where an earlier life ended, and takes no nonsense from it', () => {
  const fit = new RobustFit(PRIOR)
  fit.restore([60, 0.126, 4e-6])
  expect(fit.isLearnt).toBe(true)
  expect(fit.coefficients[1]).toBeCloseTo(0.126, 9)
  const other = new RobustFit(PRIOR)
  for (const saved of [[1], [1, 2, Number.NaN], [1, -2, 3], [0, 0, 0]]) other.restore(saved)
  expect(other.isLearnt).toBe(false)
  other.restore([1e9, 1e9, 1e9])
  expect(Math.max(...other.factors)).toBe(FACTOR_MAX)
})
