/** The route of one request, step after step: admit, fingerprint, look up, plan, dispatch, relay. */
import { APIS, type RoutedApi } from '../protocol/apis.ts'
import { RouteError } from '../protocol/errors.ts'
import { formatReceipt, ROUTE_HEADER } from '../protocol/receipt.ts'
import type { ActiveTenant } from '../protocol/tenancy.ts'
import { admitRequest } from './accounting.ts'
import { admit, parseBody, readBody, type Admission } from './admit.ts'
import type { Shipment } from './attempt.ts'
import { ClientLoss } from './client-loss.ts'
import { isReachable } from './cluster-call.ts'
import { continuationOf } from './continuation.ts'
import { dispatch, expectedReceipt } from './dispatch.ts'
import type { Edge } from './env.ts'
import { sha256Hex } from './envelope-seal.ts'
import { explain } from './explain.ts'
import { deepestBytes } from './plan/candidate.ts'
import { findEdgeRegion } from './plan/edge-region.ts'
import { relayStream, relayWhole, type Relay } from './relay.ts'
import type { SettledWithin } from './settled-within.ts'
import { surveyRoute } from './survey.ts'

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

export interface RouteContext {
  readonly edge: Edge
  readonly requestId: string
  readonly tenant: ActiveTenant
  readonly waitUntil: (work: Promise<void>) => void
  /** One for all that this request waits for. */
  readonly settles: SettledWithin
  /** Headers that the answer carries, whatever it is. */
  readonly headers: Record<string, string>
}

export async function routeRequest(context: RouteContext, path: string, request: Request): Promise<Response> {
  const { edge, requestId, tenant, settles } = context
  const { policy } = tenant
  const startedMs = Date.now()
  const deadlineMs = startedMs + policy.deadlineMs
  edge.counters.count('requests')
  const body = await readBody(request, policy, settles)
  const api = apiOf(path)
  const json = parseBody(body)
  const { pinnedCluster, isKept, isRepeatable } = continuationOf(edge.responseIds, tenant.tenant, api, json)
  const admitted = admit(tenant, json, request.headers)
  const admission = { ...admitted, pinnedCluster, stream: admitted.stream && api.generates }
  const edgeRegion = edgeRegionOf(edge, request)
  const survey = await surveyRoute(edge, api.prompt, json, admission, edgeRegion, settles)
  const account = await admitRequest({ ...context, admission, survey, api, startedMs })
  edge.sharedPrefixes.note(survey.fingerprint.markers, deepestBytes(survey.candidates))
  const traceparent = request.headers.get('traceparent')
  const shipment: Shipment = {
    api,
    path,
    body,
    bodySha256: await sha256Hex(body),
    requestId,
    traceparent: traceparent !== null && TRACEPARENT.test(traceparent) ? traceparent : null,
    admission,
    survey,
    isKept,
    isRepeatable,
    deadlineMs,
    settles,
    onAttempt: (receipt) => {
      account.attempt(receipt)
      context.headers[ROUTE_HEADER] = formatReceipt(receipt)
    },
  }
  const clientLoss = new ClientLoss()
  const relay: Relay = {
    requestId,
    dialect: api.dialect,
    headers: context.headers,
    expected: expectedReceipt(shipment),
    counters: edge.counters,
    settles,
    clientLoss,
    // What a relay does after its answer has begun ends with the stream.
    waitUntil: (work) => context.waitUntil(work.finally(() => account.end())),
    wholeGraceMs: edge.config.wholeGraceMs,
    idleProbeMs: edge.config.idleProbeMs,
    isReachable: ({ receipt }) => isReachable(edge, receipt.cluster, edgeRegion, edge.config.idleProbeMs),
  }
  const delivering = dispatch(edge, shipment, clientLoss)
  account.follow(delivering)
  return admission.stream ? relayStream(relay, delivering) : relayWhole(relay, delivering)
}

/** The plan of a request, which is not sent. The body is `{path?, request, what_if?}` or the request itself with `what_if`. */
export async function explainRequest(context: RouteContext, request: Request): Promise<Response> {
  const { edge, requestId, tenant, settles } = context
  const json = parseBody(await readBody(request, tenant.policy, settles))
  const { request: inner, path = '/v1/chat/completions' } = json
  const isWrapped = typeof inner === 'object' && inner !== null && !Array.isArray(inner)
  const isCompletion = !isWrapped && !('messages' in json) && 'prompt' in json
  const api = apiOf(isWrapped ? String(path) : isCompletion ? '/v1/completions' : '/v1/chat/completions')
  const asked = isWrapped ? (inner as Readonly<Record<string, unknown>>) : json
  const { pinnedCluster } = continuationOf(edge.responseIds, tenant.tenant, api, asked)
  const admission: Admission = { ...admit(tenant, asked, request.headers), pinnedCluster }
  const survey = await surveyRoute(edge, api.prompt, asked, admission, edgeRegionOf(edge, request), settles)
  const { policyVersion } = tenant
  const explained = { requestId, policyVersion, admission, survey, whatIf: json['what_if'] }
  return Response.json(await explain(edge, explained), { headers: { 'x-request-id': requestId } })
}

function apiOf(path: string): RoutedApi {
  const api = APIS.get(path)
  if (!api) {
    const paths = [...APIS.keys()].join(', ')
    throw new RouteError('invalid_request', `'path' must be one of ${paths}.`, { param: 'path' })
  }
  return api
}

/** The region of the edge that the request came in at. */
export function edgeRegionOf(edge: Edge, request: Request): string {
  const cf = request.cf as { colo?: unknown; continent?: unknown } | undefined
  const colo = textOf(cf?.colo)
  const region = findEdgeRegion(edge.config, { colo, continent: textOf(cf?.continent) })
  if (colo !== undefined) edge.directoryMemory.noteColo(region, colo)
  return region
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
