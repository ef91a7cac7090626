/** Requests to the routed APIs, which are nearly all: they pass no router and no middleware. */
import { APIS, dialectOf } from '../protocol/apis.ts'
import { arrivalOf, routeContext, type Execution } from './caller.ts'
import type { EdgeBindings } from './env.ts'
import { failureResponse, toRouteError } from './failure.ts'
import { routeRequest } from './route.ts'

/** The API that a request posts to; null for what the router is to look at. */
export function apiPathOf({ method, url }: Request): string | null {
  if (method !== 'POST') return null
  // After the two slashes of the scheme comes the host, then the path.
  const from = url.indexOf('/', url.indexOf('//') + 2)
  const query = url.indexOf('?', from)
  const path = url.slice(from, query === -1 ? undefined : query)
  return APIS.has(path) ? path : null
}

/** Never rejects. */
export async function answerApi(
  path: string,
  request: Request,
  bindings: EdgeBindings,
  execution: Execution,
): Promise<Response> {
  const arrival = arrivalOf(request)
  try {
    return await routeRequest(await routeContext(arrival, request, bindings, execution), path, request)
  } catch (error) {
    return failureResponse(toRouteError(error), arrival, dialectOf(path))
  }
}
