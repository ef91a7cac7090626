/**
 * What one served request says of the laws. Only what can be told apart is learnt: a prefill that waited for nobody, a load
 * with a known prefill behind it, a hand-off with a known prefill before it to an endpoint that had none of its own, an
 * adapter that was cold before a known prefill.
 */
import type { RequestSize } from '../routing/candidate.ts'
import { tokensOnGpu } from '../routing/candidate.ts'
import { predictedMs, type Pair } from '../routing/select.ts'
import { PEER_TIER } from '../routing/prefill-leg.ts'
import type { EndpointCalibration } from './endpoint-calibration.ts'

export interface ServedRequest {
  readonly pair: Pair
  readonly size: RequestSize
  /** When it was sent, its prefill leg ended, and its first token came; null: not seen, as in answers that come whole. */
  readonly startMs: number
  readonly prefillEndMs: number | null
  readonly firstTokenMs: number | null
  /** From the engine's usage; null when it said nothing. */
  readonly promptTokens: number | null
  readonly cachedTokens: number | null
  readonly answerTokens: number | null
}

/** A wait beyond this share of the prefill hides how long the prefill took. */
const WAIT_SHARE_MAX = 0.1
/** Learning the speed of a tier needs a load that is no small part of the whole. */
const LOAD_SHARE_MIN = 0.1

export function learnFrom(
  served: ServedRequest,
  prefill: EndpointCalibration,
  decode: EndpointCalibration,
): void {
  const { pair, size, startMs, firstTokenMs } = served
  if (firstTokenMs !== null) prefill.noteTtft(predictedMs(pair), firstTokenMs - startMs)
  const isSplit = pair.prefill !== pair.decode
  const prefilledMs = isSplit ? served.prefillEndMs : firstTokenMs
  if (prefilledMs !== null) learnPrefill(served, prefilledMs - startMs, prefill)
  if (isSplit && prefilledMs !== null && firstTokenMs !== null) {
    const bytes = (size.promptTokens - tokensOnGpu(pair.decode, size)) * size.kvBytesPerToken
    const pulledMs = firstTokenMs - prefilledMs - pair.stepMs - pair.adapterMs
    const isFree = pair.kvWaitMs === 0 && pair.decode.load.backlogMs === 0
    if (bytes > 0 && isFree && pulledMs > 0) decode.noteTransfer(bytes, pulledMs)
  }
}

function learnPrefill(served: ServedRequest, observedMs: number, prefill: EndpointCalibration): void {
  const { pair, size } = served
  if (pair.adapterMs > 0) {
    learnAdapterLoad(served, observedMs, prefill)
    return
  }
  const waitMs = pair.queueMs + pair.kvWaitMs + pair.adapterMs
  const ownMs = pair.loadMs + pair.prefillMs + pair.shareMs
  if (waitMs > WAIT_SHARE_MAX * ownMs) return
  const workMs = observedMs - waitMs - pair.shareMs
  const isLoad = pair.loadMs > 0 && pair.tier !== null
  if (isLoad) {
    if (pair.loadMs < LOAD_SHARE_MIN * ownMs || pair.tier === PEER_TIER) return
    prefill.noteLoad(
      pair.tier ?? '',
      loadedTokens(pair, size) * size.kvBytesPerToken,
      workMs - pair.prefillMs,
    )
    return
  }
  const promptTokens = served.promptTokens ?? size.promptTokens
  // What a decode engine reports of a hand-off is the prefill engine's count, or its own; the estimate is neither.
  const cachedTokens = Math.min(served.cachedTokens ?? pair.reusedTokens, promptTokens - 1)
  prefill.notePrefill(promptTokens - cachedTokens, cachedTokens, workMs)
}

/** Of a request that found its adapter cold, and waited for nothing else that is not known well. */
function learnAdapterLoad({ pair }: ServedRequest, observedMs: number, prefill: EndpointCalibration): void {
  if (pair.prefill !== pair.decode || pair.prefill.adapter !== 'cold') return
  const { queueMs, kvWaitMs, loadMs, prefillMs, shareMs, adapterMs } = pair
  if (queueMs + kvWaitMs > WAIT_SHARE_MAX * adapterMs) return
  if (adapterMs < LOAD_SHARE_MIN * (loadMs + prefillMs + shareMs)) return
  prefill.noteAdapterLoad(observedMs - queueMs - kvWaitMs - loadMs - prefillMs - shareMs)
}

/** Tokens of the reused prefix beyond those on the GPU. */
function loadedTokens({ prefill, reusedTokens }: Pair, size: RequestSize): number {
  return Math.max(reusedTokens - tokensOnGpu(prefill, size), 0)
}
