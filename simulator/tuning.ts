/** GORGO's weight is tuned, as its authors do, on the first tenth of what is then played. */
import type { TraceRequest } from '../cli/replay/trace.ts'
import { GORGO_WEIGHTS, policyByName } from './policies/catalogue.ts'
import type { Policy } from './policies/policy.ts'
import { play } from './scenario/play.ts'
import type { Scenario } from './scenario/scenario.ts'

const TUNED_SHARE = 0.1

/** The weight with the lowest p90 TTFT on the first tenth, warm-up included, under the name `gorgo`. */
export function tuneGorgo(scenario: Scenario, seed: number, trace: readonly TraceRequest[] | null): Policy {
  const { workload } = scenario
  const part: Scenario =
    workload.kind === 'trace'
      ? { ...scenario, workload: { ...workload, toShare: TUNED_SHARE, warmupShare: 0 } }
      : workload.kind === 'conversations'
        ? { ...scenario, workload: { ...workload, toShare: TUNED_SHARE, warmupS: 0 } }
        : scenario
  const tried = GORGO_WEIGHTS.flatMap((weight) => {
    const policy = policyByName(`gorgo(${weight})`)
    return policy ? [{ policy, p90Ms: play(part, 'tuning', policy, seed, trace).overall.ttftMs.p90 }] : []
  })
  const [best] = tried.toSorted((a, b) => a.p90Ms - b.p90Ms)
  if (!best) throw new Error('GORGO has no weights to try')
  return { ...best.policy, name: 'gorgo' }
}
