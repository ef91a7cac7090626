/** What a request has to do with other requests: what it continues, whether its answer is kept, whether it may be repeated. */
import type { RoutedApi } from '../protocol/apis.ts'
import { RouteError } from '../protocol/errors.ts'
import type { ResponseIds } from './response-ids.ts'

export interface Continuation {
  /** The cluster that keeps the response which the request continues; null when it continues none. */
  readonly pinnedCluster: string | null
  /** The answer is kept, so its id must lead back to where. */
  readonly isKept: boolean
  /** Whether doing it twice is no more than waste. Work in the background is done even when nobody waits for it. */
  readonly isRepeatable: boolean
}

const ALONE: Continuation = { pinnedCluster: null, isKept: false, isRepeatable: true }

/** Throws `response_not_found` for an id that leads nowhere. */
export function continuationOf(
  ids: ResponseIds,
  tenant: string,
  api: RoutedApi,
  json: Readonly<Record<string, unknown>>,
): Continuation {
  if (api.prompt !== 'responses') return ALONE
  const { previous_response_id: previous, store, background } = json
  return {
    pinnedCluster: previous === undefined || previous === null ? null : clusterOf(ids, tenant, previous),
    isKept: store !== false,
    isRepeatable: background !== true,
  }
}

function clusterOf(ids: ResponseIds, tenant: string, previous: unknown): string {
  const cluster = typeof previous === 'string' ? ids.clusterOf(tenant, previous) : null
  if (cluster !== null) return cluster
  const message = "No response with the id in 'previous_response_id' was found."
  throw new RouteError('response_not_found', message, { param: 'previous_response_id' })
}
