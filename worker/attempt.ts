/** One call to one cluster: the signed request, its bound, and what came of it. Books, measures and tells the breaker. */
import { markersToText } from '../core/marker-text.ts'
import { ENVELOPE_HEADER } from '../protocol/envelope.ts'
import { AGENT_ROUTE_HEADER, REQUEST_ID_HEADER, type Receipt } from '../protocol/receipt.ts'
import type { Admission } from './admit.ts'
import type { Edge } from './env.ts'
import { newNonce, sealEnvelope } from './envelope-seal.ts'
import type { PricedCandidate } from './plan/price.ts'
import { settledWithin } from './settled-within.ts'
import type { Survey } from './survey.ts'

/** A request ready to go out. */
export interface Shipment {
  readonly path: string
  readonly body: Uint8Array
  readonly bodySha256: string
  readonly requestId: string
  readonly traceparent: string | null
  readonly admission: Admission
  readonly survey: Survey
  /** When the caller stops waiting, on the edge's clock. */
  readonly deadlineMs: number
  /** Hears of each cluster that is about to be tried, so that an answer without any says which was the last. */
  readonly onAttempt: (receipt: Receipt) => void
}

export type AttemptOutcome =
  | { readonly kind: 'answer'; readonly response: Response }
  /** Overloaded: another cluster may have room. */
  | { readonly kind: 'overloaded'; readonly retryAfterMs: number | null }
  /** No connection, a broken one, a status that is the cluster's own fault, or silence past the bound. */
  | { readonly kind: 'failed'; readonly status: number | null }

/** Statuses that speak of edge and agent, not of the request: a refused envelope is not the caller's wrong key. */
const STATUSES_OF_AGENT = new Set([401, 403, 407])

/** Throws only when `clientLost` aborts. */
export async function tryCluster(
  edge: Edge,
  shipment: Shipment,
  entry: PricedCandidate,
  attempt: number,
  waitMs: number,
  clientLost: AbortSignal,
): Promise<AttemptOutcome> {
  const { cluster } = entry.candidate.config
  const { markers } = shipment.survey.fingerprint
  const startMs = Date.now()
  edge.bookings.book(cluster, entry.terms.prefillMs + entry.terms.loadMs, markers, startMs)
  edge.breaker.begin(cluster, startMs)
  const stalled = new AbortController()
  const signal = AbortSignal.any([stalled.signal, clientLost])
  const fetching = post(edge, shipment, entry, attempt, signal)
  const isSettled = await settledWithin(fetching, waitMs)
  if (!isSettled) stalled.abort()
  // What comes after the bound does not count: its body ends with the abort.
  const response = await (isSettled ? fetching.catch(() => null) : null)
  if (clientLost.aborted) {
    edge.breaker.abandon(cluster)
    throw clientLost.reason
  }
  const outcome = judge(response)
  if (outcome.kind === 'answer') {
    edge.breaker.succeed(cluster)
    recordRoundTrip(edge, shipment, entry, outcome.response, Date.now() - startMs)
    return outcome
  }
  // The body of a failure is not read; cancelling it frees the connection.
  response?.body?.cancel().catch(() => undefined)
  edge.bookings.retract(cluster, markers)
  if (outcome.kind === 'failed') edge.breaker.fail(cluster, Date.now())
  else edge.breaker.abandon(cluster)
  return outcome
}

async function post(
  edge: Edge,
  { path, body, bodySha256, requestId, traceparent, admission, survey, deadlineMs }: Shipment,
  entry: PricedCandidate,
  attempt: number,
  signal: AbortSignal,
): Promise<Response> {
  const { config } = entry.candidate
  const base = config.entrances[survey.edgeRegion] ?? config.url
  const envelope = sealEnvelope(edge.envelopeSecret, path, bodySha256, {
    v: 2,
    requestId,
    attempt,
    tenant: admission.tenant,
    shareScope: admission.shareScope,
    cluster: config.cluster,
    model: admission.model,
    stream: admission.stream,
    outputTokensMax: admission.outputTokensMax,
    markers: markersToText(survey.fingerprint.markers),
    promptBytes: survey.fingerprint.promptBytes,
    issuedMs: Date.now(),
    nonce: newNonce(),
    deadlineMs,
    edgeRegion: survey.edgeRegion,
    priority: 0,
    sloTtftMs: null,
    sloItlMs: null,
  })
  return fetch(`${base.replace(/\/+$/, '')}${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      [REQUEST_ID_HEADER]: requestId,
      [ENVELOPE_HEADER]: envelope,
      ...(traceparent === null ? {} : { traceparent }),
    },
    body,
    redirect: 'manual',
    signal,
  })
}

function judge(response: Response | null): AttemptOutcome {
  if (response === null) return { kind: 'failed', status: null }
  const { status, headers } = response
  if (status === 429) {
    const seconds = Number(headers.get('retry-after') ?? Number.NaN)
    return { kind: 'overloaded', retryAfterMs: seconds >= 0 ? seconds * 1000 : null }
  }
  const isOwnFault = status >= 500 || (status >= 300 && status < 400) || STATUSES_OF_AGENT.has(status)
  return isOwnFault ? { kind: 'failed', status } : { kind: 'answer', response }
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
