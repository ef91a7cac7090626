/** What it costs to go on at an endpoint once the prompt's KV is somewhere: the hand-off, the first step, the pace. */
import { loadMs } from '../../core/cost-model.ts'
import {
  adapterWaitMs,
  tokensOnGpu,
  type Candidate,
  type PriceWeights,
  type RequestSize,
} from './candidate.ts'
import { decodeStepMs, kvWaitMs } from './endpoint.ts'

export interface DecodeLeg {
  readonly candidate: Candidate
  /** Of a hand-off to it: until there is space, the transfer, the adapter, and the first step. */
  readonly kvWaitMs: number
  /**
   * Prefill that is booked there. A running prefill takes every token of a step, so what comes from elsewhere is not
   * scheduled before its end (vLLM v1/core/sched/scheduler.py: running requests first).
   */
  readonly queueMs: number
  readonly handoffMs: number
  readonly adapterMs: number
  readonly stepMs: number
  /** Priced share of what the sequences there add to the steps of the answer. */
  readonly slownessMs: number
  /** How late the answer's tokens come beyond the asked pace, all together. */
  readonly paceMs: number
  readonly fits: boolean
}

export function priceDecode(candidate: Candidate, size: RequestSize, { pace }: PriceWeights): DecodeLeg {
  const { endpoint, load } = candidate
  const { profile } = endpoint
  const missing = Math.max(size.promptTokens - tokensOnGpu(candidate, size), 0)
  const stepMs = decodeStepMs(profile, load.decoding + 1, load.contextTokens + size.promptTokens)
  return {
    candidate,
    kvWaitMs: kvWaitMs(profile, load, missing),
    queueMs: load.backlogMs,
    // Params are exchanged even when nothing has to move.
    handoffMs: loadMs(profile.transfer, Math.max(missing * size.kvBytesPerToken, 1)),
    adapterMs: adapterWaitMs(candidate),
    stepMs,
    slownessMs: pace * size.answerTokens * (stepMs - profile.decodeStepMs),
    paceMs: paceMs(size, stepMs, load.backlogMs),
    fits: size.promptTokens <= profile.kvTokens,
  }
}

/** The prefill that is booked there stalls the answer by its whole length, spread over its tokens. */
function paceMs({ sloItlMs, answerTokens }: RequestSize, stepMs: number, backlogMs: number): number {
  if (!sloItlMs) return 0
  return Math.max((stepMs - sloItlMs) * answerTokens + backlogMs, 0)
}
