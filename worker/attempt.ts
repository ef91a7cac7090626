/**
 * One call to one cluster: the signed request, its bound, and what came of it. Books, measures and tells the breaker. An
 * attempt ends with the first bytes of a stream, or with the whole of an answer that comes whole: until then nothing has
 * gone to the client and another cluster can take over.
 */
import type { RoutedApi } from '../protocol/apis.ts'
import { ENVELOPE_HEADER } from '../protocol/envelope.ts'
import { AGENT_ROUTE_HEADER, ELSEWHERE_HEADER, REQUEST_ID_HEADER, type Receipt } from '../protocol/receipt.ts'
import type { Admission } from './admit.ts'
import { callCluster } from './cluster-call.ts'
import type { Edge } from './env.ts'
import { markersText, newNonce } from './envelope-seal.ts'
import { predictedTtftMs, type PricedCandidate } from './plan/price.ts'
import type { SettledWithin } from './settled-within.ts'
import type { Survey } from './survey.ts'

/** A request ready to go out. */
export interface Shipment {
  readonly api: RoutedApi
  readonly path: string
  readonly body: Uint8Array
  readonly bodySha256: string
  readonly requestId: string
  readonly traceparent: string | null
  readonly admission: Admission
  readonly survey: Survey
  /** Whether a second cluster may be asked when it is not known what the first has done. */
  readonly isRepeatable: boolean
  /** Whether the answer is kept, to be continued from. */
  readonly isKept: boolean
  /** When the caller stops waiting, on the edge's clock. */
  readonly deadlineMs: number
  readonly settles: SettledWithin
  /** Hears of each cluster that is about to be tried, so that an answer without any says which was the last. */
  readonly onAttempt: (receipt: Receipt) => void
}

export interface Answer {
  readonly response: Response
  /** A stream's first bytes, the rest being in the body; or all of an answer that came whole. null: all is in the body. */
  readonly head: Uint8Array | null
}

export type AttemptOutcome =
  | ({ readonly kind: 'answer' } & Answer)
  /** Overloaded, or slower than another cluster (`isElsewhere`). Nothing was done. */
  | { readonly kind: 'overloaded'; readonly retryAfterMs: number | null; readonly isElsewhere: boolean }
  /** A status that is the cluster's own fault. `isRefusal`: nothing was done. */
  | { readonly kind: 'failed'; readonly status: number; readonly isRefusal: boolean }
  /** No connection, a broken one, or silence past the bound: nobody knows what was done. */
  | { readonly kind: 'lost' }
  /** The call was ended from here. */
  | { readonly kind: 'cancelled' }

/** Statuses that speak of edge and agent, not of the request: a refused envelope is not the caller's wrong key. */
const STATUSES_OF_AGENT = new Set([401, 403, 407])
/** Answers up to this length are read before they are passed on, so that one that breaks off is not the client's trouble. */
const WHOLE_BYTES_MAX = 8 << 20

export interface Attempt {
  readonly entry: PricedCandidate
  /** From 1. */
  readonly number: number
  readonly waitMs: number
  /** As in the envelope. */
  readonly elsewhereMs: number | null
}

/** Never throws. `call` ends the call when it aborts, also after the answer has begun. */
export async function tryCluster(
  edge: Edge,
  shipment: Shipment,
  attempt: Attempt,
  call: AbortController,
): Promise<AttemptOutcome> {
  const { entry, waitMs } = attempt
  const { cluster } = entry.candidate.config
  const { markers } = shipment.survey.fingerprint
  const startMs = Date.now()
  edge.bookings.book(cluster, entry.terms.prefillMs + entry.terms.loadMs, markers, startMs)
  edge.breaker.begin(cluster, startMs)
  const arriving = arrive(post(edge, shipment, attempt, call.signal), (response) => {
    edge.lastHeard.hear(cluster, Date.now())
    recordRoundTrip(edge, shipment, entry, response, Date.now() - startMs)
  })
  const isSettled = await shipment.settles(arriving, waitMs)
  const isCancelled = call.signal.aborted
  if (!isSettled) call.abort()
  // What comes after the bound does not count: its body ends with the abort.
  const arrived = isSettled ? await arriving : null
  if (isCancelled) {
    edge.breaker.abandon(cluster)
    edge.bookings.retract(cluster, markers)
    return { kind: 'cancelled' }
  }
  const outcome: AttemptOutcome = arrived ? judge(arrived) : { kind: 'lost' }
  if (outcome.kind === 'answer') {
    edge.breaker.succeed(cluster)
    if (shipment.admission.stream && outcome.response.ok)
      edge.ttftRatios.record(Date.now() - startMs, predictedTtftMs(entry.terms))
    return outcome
  }
  // The body of a failure is not read; cancelling it frees the connection.
  arrived?.response.body?.cancel().catch(() => undefined)
  edge.bookings.retract(cluster, markers)
  if (outcome.kind === 'overloaded') edge.breaker.abandon(cluster)
  else edge.breaker.fail(cluster, Date.now())
  return outcome
}

/** The answer once its first bytes are there; null when it breaks off or ends before. Never rejects. */
export async function arrive(
  fetching: Promise<Response>,
  onHeaders: (response: Response) => void,
): Promise<Answer | null> {
  try {
    const response = await fetching
    if (isFailure(response.status)) return { response, head: null }
    onHeaders(response)
    if (isEventStream(response) && response.body) {
      const reader = response.body.getReader() as ReadableStreamDefaultReader<Uint8Array>
      const { done, value } = await reader.read()
      reader.releaseLock()
      return done ? null : { response, head: value }
    }
    const bytes = response.headers.get('content-length')
    if (bytes === null || Number(bytes) > WHOLE_BYTES_MAX) return { response, head: null }
    return { response, head: new Uint8Array(await response.arrayBuffer()) }
  } catch {
    return null
  }
}

async function post(
  edge: Edge,
  shipment: Shipment,
  { entry, number, elsewhereMs }: Attempt,
  signal: AbortSignal,
): Promise<Response> {
  const { path, body, bodySha256, requestId, traceparent, admission, survey, isKept } = shipment
  const { config } = entry.candidate
  const { policy, tenant } = admission
  const envelope = await edge.seal.seal(path, bodySha256, {
    v: 2,
    requestId,
    attempt: number,
    tenant,
    shareScope: admission.shareScope,
    cluster: config.cluster,
    model: admission.model,
    stream: admission.stream,
    outputTokensMax: admission.outputTokensMax,
    markers: markersText(survey.fingerprint.markers),
    promptBytes: survey.fingerprint.promptBytes,
    issuedMs: Date.now(),
    nonce: newNonce(),
    deadlineMs: shipment.deadlineMs,
    edgeRegion: survey.edgeRegion,
    priority: policy.priority,
    responseId: isKept ? edge.responseIds.issue(tenant, config.cluster) : null,
    sloTtftMs: policy.slo.ttftMs,
    sloItlMs: policy.slo.itlMs,
    elsewhereMs,
  })
  return callCluster(edge, config, survey.edgeRegion, path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      [REQUEST_ID_HEADER]: requestId,
      [ENVELOPE_HEADER]: envelope,
      ...(traceparent === null ? {} : { traceparent }),
    },
    body,
    signal,
  })
}

function isFailure(status: number): boolean {
  return status === 429 || status >= 500 || (status >= 300 && status < 400) || STATUSES_OF_AGENT.has(status)
}

export function judge(answer: Answer): AttemptOutcome {
  const { status, headers } = answer.response
  if (!isFailure(status)) return { kind: 'answer', ...answer }
  if (status === 429) {
    const seconds = Number(headers.get('retry-after') ?? Number.NaN)
    const retryAfterMs = seconds >= 0 ? seconds * 1000 : null
    return { kind: 'overloaded', retryAfterMs, isElsewhere: headers.has(ELSEWHERE_HEADER) }
  }
  // vLLM and the agent say 503 before they begin.
  return { kind: 'failed', status, isRefusal: status < 500 || status === 503 }
}

export function isEventStream(response: Response): boolean {
  return response.ok && (response.headers.get('content-type') ?? '').startsWith('text/event-stream')
}

function recordRoundTrip(
  edge: Edge,
  { survey }: Shipment,
  { candidate }: PricedCandidate,
  response: Response,
  elapsedMs: number,
): void {
  const agentMs = /(?:^|; )agent_ms=([\d.]+)/.exec(response.headers.get(AGENT_ROUTE_HEADER) ?? '')?.[1]
  if (agentMs === undefined) return
  const { cluster } = candidate.config
  edge.roundTrips.record(survey.edgeRegion, cluster, elapsedMs - Number(agentMs), candidate.rttMs)
}
