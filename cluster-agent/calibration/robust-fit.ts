/**
 * A law `y = sum(c_j * x_j)` estimated from a window of observations, of which a third may be nonsense. It starts from the
 * prior scaled by the median ratio, then reweights (Tukey's biweight on relative errors); what the data cannot tell apart
 * stays in the prior's proportions, and what explains them little better than the prior is noise. Observations are positive
 * milliseconds.
 */
import { quantile } from './quantile.ts'

const WINDOW = 128
/** Below this the prior holds; up to `FULL` only its scale is learnt. */
const SCALE = 8
const FULL = 24
const REFIT_EVERY = 8
const REFIT_EVERY_FULL = 32
const ROUNDS = 5
/** How far from the prior a law may get, as a factor: beyond it the profile is wrong, not the engine. */
export const FACTOR_MAX = 32
/** Weight of the prior's proportions, in observations that say nothing else. */
const RIDGE = 0.01
/** Tukey's constant: 95 % efficiency on clean data. */
const BIWEIGHT = 4.685
const SPREAD_MIN = 0.02
/** A prefill thought too dear costs little, one thought too cheap a queue: the law errs upwards. */
const ERRING_QUANTILE = 0.6
/**
 * The law's middle error is at most this share of the prior's. Engines of one kind differ less than what is observed of
 * them scatters, and a choice between them must not follow the scatter.
 */
const ERROR_SHARE_MAX = 0.85
/** When the latest observations are all off by this factor, something changed: the older ones say nothing of it. */
const CHANGE_FACTOR = 1.5
const OBSERVATION_MS_MAX = 600_000

export class RobustFit {
  readonly #prior: readonly number[]
  #factors: number[]
  /** Newest last: terms of the prior, then the observation. */
  #rows: Row[] = []
  #sinceRefit = 0
  #isRestored = false
  /** Observations that were taken, and that could not be true. */
  readonly counts = { taken: 0, impossible: 0 }

  /** `prior`: positive coefficients. */
  constructor(prior: readonly number[]) {
    this.#prior = prior
    this.#factors = prior.map(() => 1)
  }

  get coefficients(): readonly number[] {
    return this.#prior.map((coefficient, j) => coefficient * (this.#factors[j] ?? 1))
  }

  /** Of the coefficients to the prior's. */
  get factors(): readonly number[] {
    return this.#factors
  }

  get isLearnt(): boolean {
    return this.#isRestored || this.#rows.length >= SCALE
  }

  /** Goes on from an earlier life. */
  restore(coefficients: readonly number[]): void {
    if (coefficients.length !== this.#prior.length || coefficients.some((c) => !(c > 0))) return
    this.#factors = this.#prior.map((prior, j) => bounded((coefficients[j] ?? prior) / prior))
    this.#isRestored = true
  }

  /** True when the law is another one now. */
  add(x: readonly number[], ms: number): boolean {
    const terms = Float64Array.from(this.#prior, (coefficient, j) => coefficient * (x[j] ?? 0))
    const isPossible = ms > 0 && ms < OBSERVATION_MS_MAX && terms.every((t) => t >= 0 && Number.isFinite(t))
    const priorMs = terms.reduce((sum, term) => sum + term, 0)
    if (!isPossible || priorMs <= 0) {
      this.counts.impossible++
      return false
    }
    this.counts.taken++
    this.#rows.push({ terms, priorMs, ms })
    if (this.#rows.length > WINDOW) this.#rows.shift()
    const isFull = this.#rows.length === WINDOW
    if (++this.#sinceRefit < (isFull ? REFIT_EVERY_FULL : REFIT_EVERY) || this.#rows.length < SCALE)
      return false
    this.#sinceRefit = 0
    this.#refit()
    return true
  }

  #refit(): void {
    const latest = this.#rows.slice(-FULL)
    const change = quantile(ratios(latest, this.#factors), 0.5)
    const hasChanged = change > CHANGE_FACTOR || change < 1 / CHANGE_FACTOR
    if (hasChanged && this.#rows.length > FULL) this.#rows = latest
    const rows = this.#rows
    const scale = bounded(
      quantile(
        Float64Array.from(rows, ({ ms, priorMs }) => ms / priorMs),
        0.5,
      ),
    )
    this.#factors = this.#prior.map(() => scale)
    const weights = new Float64Array(rows.length).fill(1)
    if (rows.length >= FULL) {
      for (let round = 0; round < ROUNDS; round++) {
        biweights(ratios(rows, this.#factors), weights)
        this.#factors = solve(rows, weights, this.#factors, scale)
      }
    }
    const asConfigured = this.#prior.map(() => 1)
    if (middleError(rows, this.#factors) > ERROR_SHARE_MAX * middleError(rows, asConfigured)) {
      this.#factors = asConfigured
      return
    }
    const inliers = ratios(rows, this.#factors).filter((_, i) => (weights[i] ?? 0) > 0)
    const upwards = quantile(inliers, ERRING_QUANTILE)
    this.#factors = this.#factors.map((factor) => bounded(factor * upwards))
  }
}

interface Row {
  readonly terms: Float64Array
  readonly priorMs: number
  readonly ms: number
}

/** Of what was observed to what the law says. */
function ratios(rows: readonly Row[], factors: readonly number[]): Float64Array {
  const values = new Float64Array(rows.length)
  rows.forEach(({ terms, ms }, i) => {
    values[i] = ms / dot(terms, factors)
  })
  return values
}

/** The median of errors by factors: a law a thousand times too dear is farther off than one twice too cheap. */
function middleError(rows: readonly Row[], factors: readonly number[]): number {
  return quantile(
    ratios(rows, factors).map((ratio) => Math.abs(Math.log(ratio))),
    0.5,
  )
}

function biweights(ratios: Float64Array, weights: Float64Array): void {
  const errors = ratios.map((ratio) => Math.abs(ratio - 1))
  const spread = Math.max(1.4826 * quantile(errors, 0.5), SPREAD_MIN) * BIWEIGHT
  errors.forEach((error, i) => {
    const share = error / spread
    weights[i] = share >= 1 ? 0 : (1 - share * share) ** 2
  })
}

/** Weighted least squares of relative errors, drawn towards `scale`. Factors stay positive. */
function solve(
  rows: readonly Row[],
  weights: Float64Array,
  factors: readonly number[],
  scale: number,
): number[] {
  const size = factors.length
  const matrix = Array.from({ length: size }, () => new Float64Array(size + 1))
  rows.forEach(({ terms, ms }, i) => {
    const whole = dot(terms, factors)
    const weight = (weights[i] ?? 0) / (whole * whole)
    for (let j = 0; j < size; j++) {
      const a = (terms[j] ?? 0) * weight
      for (let k = 0; k < size; k++) add(matrix, j, k, a * (terms[k] ?? 0))
      add(matrix, j, size, a * ms)
    }
  })
  for (let j = 0; j < size; j++) {
    add(matrix, j, j, RIDGE / scale ** 2)
    add(matrix, j, size, RIDGE / scale)
  }
  return eliminate(matrix).map((factor) => Math.max(bounded(factor), scale / FACTOR_MAX))
}

/** Gauss, in place. The ridge keeps every pivot positive. */
function eliminate(matrix: readonly Float64Array[]): number[] {
  const size = matrix.length
  for (let j = 0; j < size; j++) {
    const pivot = matrix[j]
    for (let i = j + 1; i < size; i++) {
      const share = (matrix[i]?.[j] ?? 0) / (pivot?.[j] || 1)
      for (let k = j; k <= size; k++) add(matrix, i, k, -share * (pivot?.[k] ?? 0))
    }
  }
  const solution = Array.from({ length: size }, () => 0)
  for (let j = size - 1; j >= 0; j--) {
    const row = matrix[j] ?? new Float64Array(size + 1)
    let rest = row[size] ?? 0
    for (let k = j + 1; k < size; k++) rest -= (row[k] ?? 0) * (solution[k] ?? 0)
    solution[j] = rest / (row[j] || 1)
  }
  return solution
}

function add(matrix: readonly Float64Array[], i: number, j: number, value: number): void {
  const row = matrix[i]
  if (row) row[j] = (row[j] ?? 0) + value
}

function dot(terms: Float64Array, factors: readonly number[]): number {
  let whole = 0
  for (let j = 0; j < terms.length; j++) whole += (factors[j] ?? 0) * (terms[j] ?? 0)
  return whole
}

function bounded(factor: number): number {
  return Number.isFinite(factor) ? Math.min(Math.max(factor, 1 / FACTOR_MAX), FACTOR_MAX) : 1
}
