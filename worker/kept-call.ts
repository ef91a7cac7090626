/**
 * The calls of a request about a response that is kept: to the one cluster that keeps it, never to another. Reading may be
 * done twice; a cancellation goes out once, since nobody knows what became of one that was lost.
 */
import type { ClusterConfig } from '../protocol/edge-config.ts'
import { ENVELOPE_HEADER } from '../protocol/envelope.ts'
import { RouteError } from '../protocol/errors.ts'
import { KEPT_METHODS, keptPath, type EventsAsked, type KeptPath } from '../protocol/kept-response.ts'
import { REQUEST_ID_HEADER, type Receipt } from '../protocol/receipt.ts'
import { arrive, judge, type AttemptOutcome } from './attempt.ts'
import type { ClientLoss } from './client-loss.ts'
import { callCluster } from './cluster-call.ts'
import type { Delivery } from './dispatch.ts'
import type { Edge } from './env.ts'
import { newNonce } from './envelope-seal.ts'
import type { SettledWithin } from './settled-within.ts'

/** By how often it may be done. */
const ATTEMPTS_MAX = { retrieve: 2, cancel: 1 } as const
/** SHA-256 of nothing. */
const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

export interface KeptCall extends KeptPath, EventsAsked {
  readonly config: ClusterConfig
  readonly tenant: string
  readonly requestId: string
  readonly edgeRegion: string
  /** When the caller stops waiting for the first byte, on the edge's clock. */
  readonly deadlineMs: number
  readonly settles: SettledWithin
  /** Hears of each attempt before it goes out. */
  readonly onAttempt: (receipt: Receipt) => void
}

/**
 * Throws `response_unreachable` when the cluster gives no answer, `overloaded` when it has no room for one,
 * `deadline_exceeded`; rejects with the reason of `clientLoss` once the client has left.
 */
export async function deliverKept(edge: Edge, kept: KeptCall, clientLoss: ClientLoss): Promise<Delivery> {
  const attemptsMax = ATTEMPTS_MAX[kept.action]
  for (let attempt = 1; ; attempt++) {
    const receipt = receiptOf(kept, attempt)
    kept.onAttempt(receipt)
    const call = new AbortController()
    clientLoss.onLoss(() => call.abort())
    const outcome = await tryKept(edge, kept, attempt, attempt === attemptsMax, call)
    if (outcome.kind === 'answer') return { ...outcome, receipt, cancel: () => call.abort() }
    if (clientLoss.reason !== null) throw clientLoss.reason
    if (Date.now() >= kept.deadlineMs)
      throw new RouteError('deadline_exceeded', 'The cluster that keeps the response did not answer in time.')
    if (attempt === attemptsMax) throw faultOf(outcome)
    edge.counters.count('failovers')
  }
}

async function tryKept(
  edge: Edge,
  kept: KeptCall,
  attempt: number,
  isLast: boolean,
  call: AbortController,
): Promise<AttemptOutcome> {
  const leftMs = Math.max(0, kept.deadlineMs - Date.now())
  // Events may be long in coming where the client has all that there are.
  const waitMs = isLast || kept.stream ? leftMs : Math.min(leftMs, edge.config.stallFloorMs)
  const arriving = arrive(send(edge, kept, attempt, call.signal), () =>
    edge.lastHeard.hear(kept.config.cluster, Date.now()),
  )
  const isSettled = await kept.settles(arriving, waitMs)
  if (!isSettled) call.abort()
  const arrived = isSettled ? await arriving : null
  const outcome: AttemptOutcome = arrived ? judge(arrived) : { kind: 'lost' }
  if (outcome.kind !== 'answer') arrived?.response.body?.cancel().catch(() => undefined)
  return outcome
}

async function send(edge: Edge, kept: KeptCall, attempt: number, signal: AbortSignal): Promise<Response> {
  const { config, action, requestId, tenant, edgeRegion, stream, startingAfter, deadlineMs } = kept
  const { cluster } = config
  const method = KEPT_METHODS[action]
  const path = keptPath(kept)
  const times = { issuedMs: Date.now(), nonce: newNonce(), deadlineMs }
  const envelope = { v: 2, requestId, attempt, tenant, cluster, stream, startingAfter, ...times } as const
  const headers = {
    [REQUEST_ID_HEADER]: requestId,
    [ENVELOPE_HEADER]: await edge.seal.seal(path, EMPTY_SHA256, envelope, method),
  }
  return callCluster(edge, config, edgeRegion, path, { method, headers, body: null, signal })
}

function receiptOf({ config: { cluster, region } }: KeptCall, attempt: number): Receipt {
  return {
    cluster,
    region,
    matched_tokens: 0,
    prompt_tokens: 0,
    tier: 'none',
    predicted_ttft_ms: 0,
    attempt,
    reason: 'kept',
    age_ms: -1,
  }
}

function faultOf(outcome: AttemptOutcome): RouteError {
  if (outcome.kind === 'overloaded') {
    const retryAfterMs = outcome.retryAfterMs ?? 1000
    return new RouteError('overloaded', 'The cluster that keeps the response is overloaded.', {
      retryAfterMs,
    })
  }
  const message = 'The cluster that keeps the response cannot be reached.'
  return new RouteError('response_unreachable', message, { param: 'response_id' })
}
