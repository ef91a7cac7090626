/** The edge's routes. Handlers are thin; the route of a request is in route.ts, faults become answers in one place below. */
import { Hono, type Context } from 'hono'
import { directoryIngress } from '../directory/ingress.ts'
import { APIS, dialectOf } from '../protocol/apis.ts'
import { RouteError } from '../protocol/errors.ts'
import { REQUEST_ID_HEADER } from '../protocol/receipt.ts'
import { adminApp } from './admin-app.ts'
import { modelNotFound } from './admit.ts'
import { authenticateOperator } from './authenticate.ts'
import { answerApi } from './api.ts'
import { arrivalOf, routeContext, type Arrival } from './caller.ts'
import { readEdge, type EdgeBindings } from './env.ts'
import { failureResponse, toRouteError } from './failure.ts'
import { ingressSettings, inspectDirectory } from './directory-inspection.ts'
import { keptResponse, refuseDeletion } from './kept-responses.ts'
import { anthropicList, anthropicModel, listModels } from './model-list.ts'
import { edgeRegionOf, explainRequest, type RouteContext } from './route.ts'
import { metricsResponse } from './metrics.ts'
import { receiptResponse, receiptsResponse } from './receipts.ts'
import { usageResponse } from './usage.ts'

interface AppEnv {
  Bindings: EdgeBindings
  Variables: { arrival: Arrival }
}

export const app = new Hono<AppEnv>()

app.use(async (c, next) => {
  c.set('arrival', arrivalOf(c.req.raw))
  await next()
})

for (const path of APIS.keys()) app.post(path, (c) => answerApi(path, c.req.raw, c.env, c.executionCtx))

app.post('/v1/route/explain', async (c) => explainRequest(await contextOf(c), c.req.raw))

app.get('/v1/models', async (c) => {
  const { edge, tenant } = await contextOf(c)
  const data = await listModels(edge, tenant, edgeRegionOf(edge, c.req.raw))
  return answer(c, isAnthropic(c) ? anthropicList(data) : { object: 'list', data })
})

app.get('/v1/models/:model{.+}', async (c) => {
  const { edge, tenant } = await contextOf(c)
  const id = c.req.param('model')
  const models = await listModels(edge, tenant, edgeRegionOf(edge, c.req.raw))
  const model = models.find((listed) => listed.id === id)
  if (!model) throw modelNotFound(id)
  return answer(c, isAnthropic(c) ? anthropicModel(model) : model)
})

app.get('/v1/usage', async (c) => usageResponse(await contextOf(c), new URL(c.req.url)))

app.get('/v1/receipts/:id', async (c) => {
  const context = await contextOf(c)
  return receiptResponse(context, c.req.param('id'), edgeRegionOf(context.edge, c.req.raw))
})

app.get('/v1/responses/:id', async (c) =>
  keptResponse(await contextOf(c), c.req.raw, c.req.param('id'), 'retrieve'),
)

app.post('/v1/responses/:id/cancel', async (c) =>
  keptResponse(await contextOf(c), c.req.raw, c.req.param('id'), 'cancel'),
)

app.delete('/v1/responses/:id', async (c) => refuseDeletion(await contextOf(c), c.req.param('id')))

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
  '/v1/responses/:id': 'GET',
  '/v1/responses/:id/cancel': 'POST',
  '/healthz': 'GET',
}
for (const [path, method] of Object.entries(METHODS)) {
  app.all(path, (c) => {
    c.get('arrival').headers['allow'] = method
    throw new RouteError('method_not_allowed', `${path.replace(':id', '{id}')} takes ${method}.`)
  })
}

app.notFound((c) => {
  const error = new RouteError('not_found', `There is nothing at ${c.req.method} ${c.req.path}.`)
  return failureResponse(error, c.get('arrival'), dialectOf(c.req.path))
})

app.onError((error, c) => {
  return failureResponse(toRouteError(error), c.get('arrival'), dialectOf(c.req.path))
})

type AppContext = Context<AppEnv>

function contextOf(c: AppContext): Promise<RouteContext> {
  return routeContext(c.get('arrival'), c.req.raw, c.env, c.executionCtx)
}

/** Lists are asked for at one path by clients of both makers; Anthropic's say which version they speak. */
function isAnthropic(c: AppContext): boolean {
  return c.req.header('anthropic-version') !== undefined
}

function answer(c: AppContext, body: object): Response {
  return Response.json(body, { headers: { [REQUEST_ID_HEADER]: c.get('arrival').requestId } })
}
