/** The requests of a run, whatever they come from. */
import type { SimRequest } from '../world/request.ts'

export interface Workload {
  readonly requests: readonly SimRequest[]
  /** Block numbers are below this. */
  readonly blockCount: number
  readonly blockTokens: number
  readonly stages: readonly StagePlan[]
  /** A stage starts when the one before it has drained; its arrivals count from there. */
  readonly drainsStages: boolean
}

export interface StagePlan {
  readonly name: string
  readonly isCounted: boolean
}

/** What every workload is drawn with. */
export interface WorkloadContext {
  readonly seed: number
  readonly blockTokens: number
  /** Regions that callers are spread over. */
  readonly regions: number
}

export type Draft = Omit<SimRequest, 'number'>

/** Sorted by stage and time, and numbered. */
export function numbered(drafts: readonly Draft[]): SimRequest[] {
  return drafts
    .toSorted((a, b) => a.stage - b.stage || a.arrivalMs - b.arrivalMs)
    .map((draft, number) => ({ ...draft, number }))
}

/** How strongly the day moves callers between regions: the busiest has 1.8 times its even share, the calmest 0.2. */
const DIURNAL_SWING = 0.8

/** Weights of the regions at a share of the run, a day apart by their number. */
export function diurnalWeights(regions: number, share: number): number[] {
  return Array.from(
    { length: regions },
    (_, region) => 1 + DIURNAL_SWING * Math.cos(2 * Math.PI * (share - region / regions)),
  )
}
