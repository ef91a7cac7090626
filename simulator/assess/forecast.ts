/** The trace played in virtual time under the production choice and under what users have without it. */
import { policyByName } from '../policies/catalogue.ts'
import type { Policy } from '../policies/policy.ts'
import type { Metrics } from '../report/metrics.ts'
import { interval, pairedGain, type Interval } from '../report/statistics.ts'
import { play } from '../scenario/play.ts'
import type { Scenario } from '../scenario/scenario.ts'
import type { PlayedRequest } from '../workload/trace.ts'

export const OURS = 'isotherm'

/** By the words that a user knows them by. */
export const ALTERNATIVES: Readonly<Record<string, string>> = {
  'session sticky': 'sticky+sticky',
  'session sticky, llm-d precise inside': 'sticky+llm-d-precise',
  'round robin': 'nearest+round-robin',
}

export interface Estimate {
  readonly policy: string
  readonly ttftMs: { readonly p50: Interval; readonly p90: Interval; readonly p99: Interval }
  readonly tpotP50Ms: Interval
  /** Share of prompt tokens taken from any tier. */
  readonly hitShare: Interval
  readonly prefillGpuMs: Interval
  readonly awayShare: Interval
  readonly lost: number
}

/** Isotherm against one alternative, seed by seed: relative changes, negative is less. */
export interface Gain {
  readonly against: string
  readonly ttftP50: Interval
  readonly ttftP90: Interval
  readonly ttftP99: Interval
  readonly prefillGpu: Interval
}

export interface Forecast {
  readonly estimates: readonly Estimate[]
  readonly gains: readonly Gain[]
}

export function ourPolicy(): Policy {
  const policy = policyByName(OURS)
  if (!policy) throw new Error('the production choice is no policy')
  return policy
}

/** One run a policy and seed; `onRun` is told of each that is done. */
export function forecast(
  scenario: Scenario,
  trace: readonly PlayedRequest[],
  seeds: readonly number[],
  onRun: (name: string) => void,
): Forecast {
  const runs = [[OURS, OURS] as const, ...Object.entries(ALTERNATIVES)].map(([name, rule]) => {
    const policy = policyByName(rule)
    if (!policy) throw new Error(`no policy ${rule}`)
    const metrics = seeds.map((seed) => {
      const { overall } = play(scenario, '', policy, seed, trace)
      onRun(name)
      return overall
    })
    return { name, metrics }
  })
  const ours = runs.find(({ name }) => name === OURS)?.metrics ?? []
  return {
    estimates: runs.map(({ name, metrics }) => estimateOf(name, metrics)),
    gains: runs.flatMap(({ name, metrics }) => (name === OURS ? [] : [gainOf(name, ours, metrics)])),
  }
}

function estimateOf(policy: string, all: readonly Metrics[]): Estimate {
  const of = (pick: (metrics: Metrics) => number) => interval(all.map(pick))
  return {
    policy,
    ttftMs: {
      p50: of(({ ttftMs }) => ttftMs.p50),
      p90: of(({ ttftMs }) => ttftMs.p90),
      p99: of(({ ttftMs }) => ttftMs.p99),
    },
    tpotP50Ms: of(({ tpotMs }) => tpotMs.p50),
    hitShare: of(({ hitShare }) => hitShare.gpu + hitShare.lower),
    prefillGpuMs: of(({ prefillGpuMs }) => prefillGpuMs.computed),
    awayShare: of(({ awayShare }) => awayShare),
    lost: all.reduce((sum, { lost }) => sum + lost, 0),
  }
}

function gainOf(against: string, ours: readonly Metrics[], theirs: readonly Metrics[]): Gain {
  const of = (pick: (metrics: Metrics) => number) => pairedGain(ours.map(pick), theirs.map(pick))
  return {
    against,
    ttftP50: of(({ ttftMs }) => ttftMs.p50),
    ttftP90: of(({ ttftMs }) => ttftMs.p90),
    ttftP99: of(({ ttftMs }) => ttftMs.p99),
    prefillGpu: of(({ prefillGpuMs }) => prefillGpuMs.computed),
  }
}
