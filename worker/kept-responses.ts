/**
 * `GET /v1/responses/{id}`, `POST /v1/responses/{id}/cancel`, `DELETE /v1/responses/{id}`. An id names the cluster that
 * keeps the response and is signed for its tenant: what is not the tenant's is 404, whatever it is, before any cluster is
 * asked. They use no tokens, so they count in no limit; a receipt is noted of what changes something, since polling would
 * push the receipts of other requests out of their ring.
 */
import { RouteError } from '../protocol/errors.ts'
import type { ClusterConfig } from '../protocol/edge-config.ts'
import {
  NO_EVENTS,
  parseEventsAsked,
  RESPONSE_ID,
  type EventsAsked,
  type KeptAction,
} from '../protocol/kept-response.ts'
import { formatReceipt, ROUTE_HEADER, type Receipt } from '../protocol/receipt.ts'
import { readBytes } from './admit.ts'
import { ClientLoss } from './client-loss.ts'
import { isReachable } from './cluster-call.ts'
import { toRouteError } from './failure.ts'
import { flushLater } from './flush.ts'
import { deliverKept, type KeptCall } from './kept-call.ts'
import { allowsJurisdiction, allowsRegion } from './plan/rules.ts'
import { relayStream, relayWhole, type Relay } from './relay.ts'
import { edgeRegionOf, type RouteContext } from './route.ts'

/** How long an answer may take that is in an engine's memory, or a stop that ends a request. */
const KEPT_MS_MAX = 30_000
/** Beyond the bound of the calls themselves. */
const GRACE_MS = 1000
/** Clients send nothing, or an empty object. */
const CANCEL_BODY_BYTES_MAX = 65_536

/** Throws `response_not_found`, `response_unreachable`, `invalid_request`, and what `deliverKept` throws. */
export async function keptResponse(
  context: RouteContext,
  request: Request,
  id: string,
  action: KeptAction,
): Promise<Response> {
  const { edge, requestId, tenant, settles, headers } = context
  const startedMs = Date.now()
  const config = keeperOf(context, id)
  const events = action === 'retrieve' ? eventsAsked(request) : NO_EVENTS
  if (action === 'cancel') await readBytes(request, CANCEL_BODY_BYTES_MAX, settles)
  edge.counters.count(action === 'retrieve' ? 'responsesRetrieved' : 'responsesCancelled')
  const edgeRegion = edgeRegionOf(edge, request)
  const boundMs = events.stream ? tenant.policy.deadlineMs : Math.min(tenant.policy.deadlineMs, KEPT_MS_MAX)
  let attempts = 0
  const call: KeptCall = {
    id,
    action,
    ...events,
    config,
    tenant: tenant.tenant,
    requestId,
    edgeRegion,
    deadlineMs: startedMs + boundMs,
    settles,
    onAttempt: (receipt: Receipt) => {
      attempts = receipt.attempt
      headers[ROUTE_HEADER] = formatReceipt(receipt)
    },
  }
  const clientLoss = new ClientLoss()
  const relay: Relay = {
    requestId,
    dialect: 'responses',
    headers,
    expected: null,
    counters: edge.counters,
    settles,
    clientLoss,
    waitUntil: context.waitUntil,
    // Nothing is computed for it, so its true status is worth more than noticing a lost client: it ends by itself.
    wholeGraceMs: boundMs + GRACE_MS,
    idleProbeMs: edge.config.idleProbeMs,
    isReachable: ({ receipt }) => isReachable(edge, receipt.cluster, edgeRegion, edge.config.idleProbeMs),
  }
  const delivering = deliverKept(edge, call, clientLoss)
  const noted = delivering.then(
    ({ response }) => response.status,
    (error: unknown) => toRouteError(error).kind.status,
  )
  context.waitUntil(
    noted.then((status) => {
      if (action === 'cancel') note(context, call, { status, attempts, startedMs })
      return flushLater(edge)
    }),
  )
  return events.stream ? relayStream(relay, delivering) : relayWhole(relay, delivering)
}

/** No engine lets go of a response before its process ends. Throws as well for a response that is not the tenant's. */
export function refuseDeletion(context: RouteContext, id: string): never {
  keeperOf(context, id)
  context.headers['allow'] = 'GET'
  const message =
    'Responses cannot be deleted here: the engine that keeps one forgets it when its process ends. Use `store: false`.'
  throw new RouteError('method_not_allowed', message)
}

/** The cluster that keeps a response of the tenant's, where the policy allows its region. */
function keeperOf({ edge, tenant: { tenant, policy } }: RouteContext, id: string): ClusterConfig {
  const cluster = RESPONSE_ID.test(id) ? edge.responseIds.clusterOf(tenant, id) : null
  if (cluster === null) {
    throw new RouteError('response_not_found', 'No response with that id was found.', {
      param: 'response_id',
    })
  }
  const config = edge.clusters.get(cluster)
  const jurisdiction = edge.regions.get(config?.region ?? '')?.jurisdiction ?? null
  if (!config || !allowsRegion(policy, config.region) || !allowsJurisdiction(policy, jurisdiction)) {
    const message = 'The cluster that keeps the response may not be used any more.'
    throw new RouteError('response_unreachable', message, { param: 'response_id' })
  }
  return config
}

/** Other parameters are dropped, as vLLM drops them. */
function eventsAsked({ url }: Request): EventsAsked {
  const { searchParams } = new URL(url)
  return parseEventsAsked(searchParams.get('stream'), searchParams.get('starting_after'))
}

function note(
  { edge, requestId, tenant }: RouteContext,
  { config, edgeRegion, stream }: KeptCall,
  { status, attempts, startedMs }: { status: number; attempts: number; startedMs: number },
): void {
  const isKept = edge.notes.add({
    requestId,
    tenant: tenant.tenant,
    keyId: tenant.keyId,
    policyVersion: tenant.policyVersion,
    api: 'responses/cancel',
    model: '',
    stream,
    edgeRegion,
    startedMs,
    routing: 'isotherm',
    reason: 'kept',
    knowledge: 'none',
    candidates: [],
    rejected: [],
    attempts: Array.from({ length: attempts }, (_, at) => ({ attempt: at + 1, cluster: config.cluster })),
    status,
    answeredMs: Date.now() - startedMs,
  })
  if (!isKept) edge.counters.count('notesLost')
}
