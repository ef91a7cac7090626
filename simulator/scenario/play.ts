/** One run: a scenario's variant under one policy and seed. */
import type { Policy } from '../policies/policy.ts'
import { measure, yardstickOf, type Metrics, type Yardstick } from '../report/metrics.ts'
import type { PlayedRequest } from '../workload/trace.ts'
import type { Outcome } from '../world/request.ts'
import { Route } from '../world/route.ts'
import { buildShape, buildWorkload } from './build.ts'
import type { Scenario } from './scenario.ts'

export interface RunResult {
  readonly variant: string
  readonly policy: string
  readonly seed: number
  /** Over everything that counts; by label where the scenario names some. */
  readonly overall: Metrics
  readonly stages: readonly { readonly name: string; readonly metrics: Metrics }[]
  readonly labels: readonly { readonly name: string; readonly metrics: Metrics }[]
  readonly windows: readonly { readonly name: string; readonly metrics: Metrics }[]
  /** p90 TTFT of each ten seconds, by the time when requests were sent: how a run recovers. */
  readonly timeline: readonly { readonly fromS: number; readonly requests: number; readonly p90Ms: number }[]
  /** Requests that were played, warm-up included. */
  readonly played: number
}

const TIMELINE_BIN_MS = 10_000

export function play(
  scenario: Scenario,
  variant: string,
  policy: Policy,
  seed: number,
  trace: readonly PlayedRequest[] | null,
): RunResult {
  const shape = buildShape(scenario)
  const workload = buildWorkload(scenario, seed, trace)
  const outcomes: Outcome[] = []
  new Route({
    shape,
    policy,
    seed,
    blockCount: workload.blockCount,
    blockTokens: workload.blockTokens,
    requests: workload.requests,
    drainsStages: workload.drainsStages,
    horizonMs: scenario.horizonS * 1000,
    onOutcome: (outcome) => outcomes.push(outcome),
  }).run()
  const yardstick = yardstickOf(shape, scenario.kneeMs)
  const counted = outcomes.filter(({ request }) => request.isCounted)
  const isHeadline = ({ request }: Outcome) =>
    scenario.headline.length === 0 || scenario.headline.includes(request.label)
  const labels = [...new Set(counted.map(({ request }) => request.label))].toSorted()
  return {
    variant,
    policy: policy.name,
    seed,
    overall: measure(counted.filter(isHeadline), yardstick),
    stages: workload.stages.flatMap(({ name, isCounted }, stage) =>
      isCounted && workload.stages.length > 1
        ? [
            {
              name,
              metrics: measure(
                counted.filter(({ request }) => request.stage === stage),
                yardstick,
              ),
            },
          ]
        : [],
    ),
    labels:
      labels.length < 2
        ? []
        : labels.map((name) => ({
            name,
            metrics: measure(
              counted.filter(({ request }) => request.label === name),
              yardstick,
            ),
          })),
    windows: scenario.windows.map(({ name, fromS, untilS }) => ({
      name,
      metrics: measure(
        outcomes.filter(({ sentMs }) => sentMs >= fromS * 1000 && sentMs < untilS * 1000),
        yardstick,
      ),
    })),
    timeline: timelineOf(outcomes, yardstick),
    played: outcomes.length,
  }
}

function timelineOf(outcomes: readonly Outcome[], yardstick: Yardstick): RunResult['timeline'] {
  const bins = new Map<number, Outcome[]>()
  for (const outcome of outcomes) {
    const bin = Math.floor(outcome.sentMs / TIMELINE_BIN_MS)
    const list = bins.get(bin) ?? []
    bins.set(bin, list)
    list.push(outcome)
  }
  return [...bins]
    .toSorted(([a], [b]) => a - b)
    .map(([bin, list]) => ({
      fromS: (bin * TIMELINE_BIN_MS) / 1000,
      requests: list.length,
      p90Ms: measure(list, yardstick).ttftMs.p90,
    }))
}
