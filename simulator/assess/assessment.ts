/** `isotherm assess` as a function: a trace, a fleet and perhaps an SLO in; what was measured and the advice out. */
import { prefillMs } from '../../core/cost-model.ts'
import { contextTokensMax, type EngineProfile } from '../engine/profile.ts'
import { policyByName } from '../policies/catalogue.ts'
import { play } from '../scenario/play.ts'
import { gpusOf, makeProfile } from '../scenario/profiles.ts'
import type { PlayedRequest } from '../workload/trace.ts'
import { adviseOn, type Advice } from './advice.ts'
import { breakEvens, type BreakEven } from './break-even.ts'
import { ALTERNATIVES, forecast, OURS, type Forecast } from './forecast.ts'
import { measureReuse, type TraceFacts } from './reuse.ts'
import {
  keepsSlo,
  SizeSearch,
  type FleetSize,
  type Memory,
  type Point,
  type Sizing,
  type Slo,
  type Trial,
} from './size.ts'
import type { ReadTrace } from './trace-reader.ts'
import { detourMs, worldOf, type Fleet } from './world.ts'

/** Endpoints of the simulated world. */
export const ENDPOINTS_MAX = 32

export interface AssessPlan {
  readonly trace: ReadTrace
  readonly fleet: Fleet
  /** Multiplies the load. */
  readonly speed: number
  readonly seeds: readonly number[]
  /** The first so many requests are played; statistics are of the same. */
  readonly requestsMax: number
  readonly size: (Memory & { readonly slo: Slo }) | null
}

export interface Assessment {
  readonly fleet: Fleet & { readonly gpus: number }
  readonly speed: number
  readonly seeds: number
  readonly trace: Omit<ReadTrace, 'requests'>
  readonly facts: TraceFacts
  /** Requests that were left out of the play: longer than an engine takes. */
  readonly tooLong: number
  /** Requests after the first so many, which were not looked at. */
  readonly notPlayed: number
  readonly breakEvens: readonly BreakEven[]
  readonly forecast: Forecast
  readonly advice: Advice
  readonly size: SizeAnswer | null
}

export interface SizeAnswer extends Sizing {
  readonly slo: Slo
  /** Fewest endpoints of each alternative with the most DRAM; null when the most endpoints are not enough. */
  readonly alternatives: readonly { readonly name: string; readonly endpoints: number | null }[]
  readonly points: readonly Point[]
}

/** `onRun`: told of each run that is done and of how many there may be. */
export function assess(plan: AssessPlan, onRun: (what: string, runsMax: number) => void): Assessment {
  const { trace, fleet, speed, seeds, size } = plan
  const { requests: all, ...told } = trace
  const profile = makeProfile(fleet.profile, trace.blockTokens, {})
  const first = all.slice(0, plan.requestsMax)
  const most = contextTokensMax(profile)
  const requests = first.filter(({ inputTokens, outputTokens }) => inputTokens + outputTokens <= most)
  if (requests.length === 0) throw new Error(`no request fits into the ${most} tokens of ${fleet.profile}`)
  const { facts, reusedTokens } = measureReuse(requests, trace.blockTokens)
  const target = size?.slo.ttftP90Ms ?? TARGET_MS
  const world = (of: Fleet) =>
    worldOf(
      of,
      { blockTokens: trace.blockTokens, lengthMs: facts.minutes * 60_000, speed, targetMs: target },
      profile.kvBytesPerToken,
    )
  const forecastRuns = (Object.keys(ALTERNATIVES).length + 1) * seeds.length
  const runsMax = forecastRuns + (size ? SIZE_TRIALS_MAX * seeds.length : 0)
  const gpus = fleet.endpoints * gpusOf(fleet.profile)
  const made = forecast(world(fleet), requests, seeds, (name) => onRun(name, runsMax))
  return {
    fleet: { ...fleet, gpus },
    speed,
    seeds: seeds.length,
    trace: told,
    facts,
    tooLong: first.length - requests.length,
    notPlayed: all.length - first.length,
    breakEvens: breakEvens(profile, detourMs(fleet.regions), requests, reusedTokens),
    forecast: made,
    advice: adviseOn(facts, gpus, made),
    size: size
      ? sizeOf(plan, size, {
          endpointsMin: fewestBusy(profile, requests, reusedTokens, (facts.minutes * 60_000) / speed),
          trialOf: (policy, of, seed) => {
            const rule = policyByName(policy)
            if (!rule) throw new Error(`no policy ${policy}`)
            const { overall } = play(world({ ...fleet, ...of }), '', rule, seed, requests)
            onRun(`${of.endpoints} endpoints, ${of.dramGib} GiB DRAM, ${of.nvmeGib} GiB NVMe`, runsMax)
            const { ttftMs, tpotMs, lost } = overall
            return { ttftP90Ms: ttftMs.p90, ttftP99Ms: ttftMs.p99, tpotP90Ms: tpotMs.p90, lost }
          },
        })
      : null,
  }
}

/** Goodput's bound where no SLO is given. */
const TARGET_MS = 3000
/** Fleets that a search tries at most: six searches over endpoints, two over memory. */
const SIZE_TRIALS_MAX = 40

interface SizeContext {
  readonly endpointsMin: number
  readonly trialOf: (policy: string, fleet: FleetSize, seed: number) => Trial
}

function sizeOf(
  { fleet, seeds }: AssessPlan,
  { slo, dramGib, nvmeGib }: NonNullable<AssessPlan['size']>,
  { endpointsMin, trialOf }: SizeContext,
): SizeAnswer {
  const points: Point[] = []
  const limits = {
    endpointsMin: Math.min(Math.max(fleet.regions, endpointsMin), ENDPOINTS_MAX),
    endpointsMax: ENDPOINTS_MAX,
    dramGibMax: dramGib,
    nvmeGibMax: nvmeGib,
  }
  const searchOf = (name: string, policy: string) =>
    new SizeSearch(limits, (of) => {
      let worst: Trial = { ttftP90Ms: 0, ttftP99Ms: 0, tpotP90Ms: 0, lost: 0 }
      for (const seed of seeds) {
        worst = worse(worst, trialOf(policy, of, seed))
        // One seed that breaks the SLO decides.
        if (!keepsSlo(worst, slo)) break
      }
      const meets = keepsSlo(worst, slo)
      points.push({ policy: name, ...of, ...worst, meets })
      return meets
    })
  const sizing = searchOf(OURS, OURS).run()
  const alternatives = Object.entries(ALTERNATIVES).map(([name, policy]) => ({
    name,
    endpoints: searchOf(name, policy).fewestEndpoints({ dramGib, nvmeGib: 0 })?.endpoints ?? null,
  }))
  return { slo, ...sizing, alternatives, points }
}

function worse(a: Trial, b: Trial): Trial {
  return {
    ttftP90Ms: Math.max(a.ttftP90Ms, b.ttftP90Ms),
    ttftP99Ms: Math.max(a.ttftP99Ms, b.ttftP99Ms),
    tpotP90Ms: Math.max(a.tpotP90Ms, b.tpotP90Ms),
    lost: a.lost + b.lost,
  }
}

/** Endpoints below which prefill alone takes longer than the trace lasts, were every reusable token free. */
function fewestBusy(
  { prefill }: EngineProfile,
  requests: readonly PlayedRequest[],
  reusedTokens: readonly number[],
  lengthMs: number,
): number {
  const workMs = requests.reduce((sum, { inputTokens }, i) => {
    const reused = reusedTokens[i] ?? 0
    // The fixed part of the law overlaps with other requests in one batch.
    return sum + prefillMs(prefill, inputTokens - reused, reused) - prefill.fixedMs
  }, 0)
  return lengthMs === 0 ? 1 : Math.max(Math.ceil(workMs / lengthMs), 1)
}
