/** One request on its way, and what a caller would have seen of it. */
import type { BlockRequest, BlockSequence } from '../engine/block-sequence.ts'
import type { RemoteKv } from '../engine/sequence.ts'
import type { Placement, RegionChoice } from '../policies/policy.ts'
import type { Outcome, SimRequest, Warmth } from './request.ts'

export interface Trip {
  readonly request: SimRequest
  readonly sentMs: number
  readonly isolate: number
  choice: RegionChoice | null
  tried: Set<number>
  /** The cluster that sent it on, which is asked again when the next one fails; -1: none. */
  redirectedBy: number
  cluster: number
  placement: Placement | null
  warmth: Warmth
  arrivedMs: number
  prefillLeg: BlockSequence | null
  leg: BlockSequence | null
  firstMs: number
  attempts: number
  predictedMs: number | null
}

export function newTrip(request: SimRequest, sentMs: number, isolate: number): Trip {
  return {
    request,
    sentMs,
    isolate,
    choice: null,
    tried: new Set(),
    redirectedBy: -1,
    cluster: -1,
    placement: null,
    warmth: { heldBlocks: 0, longestBlocks: 0 },
    arrivedMs: 0,
    prefillLeg: null,
    leg: null,
    firstMs: 0,
    attempts: 0,
    predictedMs: null,
  }
}

/** What an engine is asked: the whole request, or one leg of a hand-off. */
export function legOf(
  request: SimRequest,
  id: string,
  isProducer: boolean,
  remote: RemoteKv | null,
): BlockRequest {
  return {
    id,
    number: request.number,
    promptTokens: request.promptTokens,
    blocks: request.blocks,
    maxTokens: isProducer ? 1 : request.outputTokens,
    seed: 0,
    sessionId: null,
    isReportFull: false,
    isProducer,
    remote,
  }
}

/** `backMs`: the way back from the cluster. Unserved requests count with the time that they waited. */
export function outcomeOf(trip: Trip, state: Outcome['state'], nowMs: number, backMs: number): Outcome {
  const { request, sentMs, leg, prefillLeg, firstMs, arrivedMs } = trip
  const first = prefillLeg ?? leg
  const isAnswered = leg !== null && first !== null && firstMs > 0
  const prefillEndMs = prefillLeg ? prefillLeg.lastTokenMs : firstMs
  return {
    request,
    sentMs,
    state,
    cluster: trip.cluster,
    endpoint: trip.placement?.prefill ?? -1,
    ttftMs: isAnswered ? firstMs + backMs - sentMs : nowMs - sentMs,
    endToEndMs: nowMs + backMs - sentMs,
    tpotMs: isAnswered ? (leg.lastTokenMs - firstMs) / Math.max(request.outputTokens - 1, 1) : 0,
    split: {
      rttMs: isAnswered ? arrivedMs - sentMs + backMs : 0,
      queueMs: isAnswered ? first.admittedMs - arrivedMs : 0,
      loadMs: isAnswered ? first.loadedMs - first.admittedMs : 0,
      prefillMs: isAnswered ? prefillEndMs - first.loadedMs : 0,
      handoffMs: isAnswered && prefillLeg ? firstMs - prefillEndMs : 0,
    },
    predictedMs: trip.predictedMs,
    gpuTokens: first ? first.cachedTokens - first.loadedTokens : 0,
    lowerTokens: first ? lowerTokens(first) : 0,
    warmth: trip.warmth,
    detourMs: trip.choice?.detourMs ?? 0,
    attempts: trip.attempts,
    preemptions: leg?.preemptions ?? 0,
  }
}

/** From its own tiers or a peer's: all that was loaded but a hand-off. */
function lowerTokens({ request: { remote }, loadedTokens }: BlockSequence): number {
  return remote === null || remote.tokens !== undefined ? loadedTokens : 0
}
