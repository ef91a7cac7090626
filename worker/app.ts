/** The edge's routes. Handlers are thin; the route of a request is in route.ts, faults become answers in one place below. */
import { Hono } from 'hono'
import { directoryIngress } from '../directory/ingress.ts'
import { APIS, dialectOf } from '../protocol/apis.ts'
import { RouteError } from '../protocol/errors.ts'
import { requestIdSchema } from '../protocol/ids.ts'
import { REQUEST_ID_HEADER } from '../protocol/receipt.ts'
import { adminApp } from './admin-app.ts'
import { modelNotFound } from './admit.ts'
import { authenticate, authenticateOperator } from './authenticate.ts'
import { readEdge, type EdgeBindings } from './env.ts'
import { failureResponse, toRouteError } from './failure.ts'
import { ingressSettings, inspectDirectory } from './directory-inspection.ts'
import { anthropicList, anthropicModel, listModels } from './model-list.ts'
import { edgeRegionOf, explainRequest, routeRequest, type RouteContext } from './route.ts'
import { metricsResponse } from './metrics.ts'
import { receiptResponse, receiptsResponse } from './receipts.ts'
import { usageResponse } from './usage.ts'

const GIVEN_ID_CHARS_MAX = 100

interface AppEnv {
  Bindings: EdgeBindings
  Variables: { requestId: string; headers: Record<string, string> }
}

export const app = new Hono<AppEnv>()

app.use(async (c, next) => {
  const given = requestIdSchema.safeParse(c.req.header(REQUEST_ID_HEADER))
  c.set('requestId', uniqueId(given.success ? given.data : null))
  c.set('headers', {})
  await next()
})

for (const path of APIS.keys())
  app.post(path, async (c) => routeRequest(await routeContext(c), path, c.req.raw))

app.post('/v1/route/explain', async (c) => explainRequest(await routeContext(c), c.req.raw))

app.get('/v1/models', async (c) => {
  const { edge, tenant } = await routeContext(c)
  const data = await listModels(edge, tenant, edgeRegionOf(edge, c.req.raw))
  return answer(c, isAnthropic(c) ? anthropicList(data) : { object: 'list', data })
})

app.get('/v1/models/:model{.+}', async (c) => {
  const { edge, tenant } = await routeContext(c)
  const id = c.req.param('model')
  const models = await listModels(edge, tenant, edgeRegionOf(edge, c.req.raw))
  const model = models.find((listed) => listed.id === id)
  if (!model) throw modelNotFound(id)
  return answer(c, isAnthropic(c) ? anthropicModel(model) : model)
})

app.get('/v1/usage', async (c) => usageResponse(await routeContext(c), new URL(c.req.url)))

app.get('/v1/receipts/:id', async (c) => {
  const context = await routeContext(c)
  return receiptResponse(context, c.req.param('id'), edgeRegionOf(context.edge, c.req.raw))
})

app.get('/healthz', (c) => {
  readEdge(c.env)
  return answer(c, { status: 'ok' })
})

app.get('/admin/directory/:region', async (c) => {
  const edge = readEdge(c.env)
  authenticateOperator(edge.operators, c.req.header('authorization'))
  return answer(c, await inspectDirectory(edge, c.req.param('region'), c.req.query('shard')))
})

app.get('/admin/counters', (c) => {
  const edge = readEdge(c.env)
  authenticateOperator(edge.operators, c.req.header('authorization'))
  return answer(c, edge.counters.snapshot())
})

app.get('/admin/receipts', (c) => {
  const edge = readEdge(c.env)
  authenticateOperator(edge.operators, c.req.header('authorization'))
  return receiptsResponse(edge, new URL(c.req.url))
})

app.get('/metrics', (c) => {
  const edge = readEdge(c.env)
  authenticateOperator(edge.operators, c.req.header('authorization'))
  return metricsResponse(edge)
})

app.route('/', adminApp)

app.route(
  '/',
  directoryIngress<EdgeBindings>((bindings) => ingressSettings(readEdge(bindings))),
)

const METHODS: Readonly<Record<string, string>> = {
  ...Object.fromEntries([...APIS.keys()].map((path) => [path, 'POST'])),
  '/v1/route/explain': 'POST',
  '/v1/models': 'GET',
  '/v1/usage': 'GET',
  '/healthz': 'GET',
}
for (const [path, method] of Object.entries(METHODS)) {
  app.all(path, (c) => {
    c.get('headers')['allow'] = method
    throw new RouteError('method_not_allowed', `${path} takes ${method}.`)
  })
}

app.notFound((c) => {
  const error = new RouteError('not_found', `There is nothing at ${c.req.method} ${c.req.path}.`)
  return failureResponse(error, c.get('requestId'), {}, dialectOf(c.req.path))
})

app.onError((error, c) => {
  const fault = toRouteError(error)
  return failureResponse(fault, c.get('requestId'), c.get('headers'), dialectOf(c.req.path))
})

/** A caller's own id stays readable and becomes unique: requests are settled by it, and one id must not pay for two. */
function uniqueId(given: string | null): string {
  const id = crypto.randomUUID()
  return given === null ? id : `${given.slice(0, GIVEN_ID_CHARS_MAX)}-${id.slice(-12)}`
}

async function routeContext(c: {
  readonly env: EdgeBindings
  readonly req: { readonly raw: Request; header(name: string): string | undefined }
  readonly executionCtx: { waitUntil(promise: Promise<unknown>): void }
  get(key: 'requestId'): string
  get(key: 'headers'): Record<string, string>
}): Promise<RouteContext> {
  const edge = readEdge(c.env)
  const waitUntil = (work: Promise<void>) => c.executionCtx.waitUntil(work)
  const region = edgeRegionOf(edge, c.req.raw)
  return {
    edge,
    requestId: c.get('requestId'),
    tenant: await authenticate(edge, credentialOf(c), region, waitUntil),
    waitUntil,
    headers: c.get('headers'),
  }
}

interface RequestHeaders {
  readonly req: { header(name: string): string | undefined }
}

/** The `authorization` header, or what Anthropic's clients send instead of it. */
function credentialOf(c: RequestHeaders): string | undefined {
  const key = c.req.header('x-api-key')
  return c.req.header('authorization') ?? (key === undefined ? undefined : `Bearer ${key}`)
}

/** Lists are asked for at one path by clients of both makers; Anthropic's say which version they speak. */
function isAnthropic(c: RequestHeaders): boolean {
  return c.req.header('anthropic-version') !== undefined
}

function answer(c: { get(key: 'requestId'): string }, body: object): Response {
  return Response.json(body, { headers: { [REQUEST_ID_HEADER]: c.get('requestId') } })
}
