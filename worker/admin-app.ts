/** The operators' API over HTTP: who asks, preconditions, bounded bodies checked by their schemas, and its own document. */
import type { Context } from 'hono'
import { Hono } from 'hono'
import { shardOf } from '../core/api-key.ts'
import { RouteError } from '../protocol/errors.ts'
import { nameSchema } from '../protocol/ids.ts'
import { POLICY_BYTES_MAX } from '../protocol/policy.ts'
import type { Endpoint } from './admin/endpoint.ts'
import { openApiDocument } from './admin/openapi.ts'
import { POLICY_ENDPOINTS } from './admin-policies.ts'
import { TENANT_ENDPOINTS, type EdgeCall } from './admin-tenants.ts'
import { parseBody, readBytes } from './admit.ts'
import { authenticateOperator } from './authenticate.ts'
import { readEdge, type Edge, type EdgeBindings } from './env.ts'
import { settledWithin } from './settled-within.ts'
import { shardName } from './tenant-lookup.ts'

const ENDPOINTS: readonly Endpoint<EdgeCall>[] = [...TENANT_ENDPOINTS, ...POLICY_ENDPOINTS]
/** How long an operator waits for the store. */
const STORE_MS_MAX = 10_000

interface AdminEnv {
  Bindings: EdgeBindings
}

export const adminApp = new Hono<AdminEnv>()

adminApp.get('/admin/openapi.json', (c) => {
  authenticateOperator(readEdge(c.env).operators, c.req.header('authorization'))
  return Response.json(openApiDocument(ENDPOINTS))
})

for (const entry of ENDPOINTS) adminApp.on(entry.method, entry.path, (c) => answer(c, entry))

async function answer(c: Context<AdminEnv>, entry: Endpoint<EdgeCall>): Promise<Response> {
  const edge = readEdge(c.env)
  const actor = authenticateOperator(edge.operators, c.req.header('authorization'))
  const { tenant, ...params } = c.req.param() as Record<string, string>
  if (tenant !== undefined && !nameSchema.safeParse(tenant).success) {
    throw new RouteError('not_found', 'There is no such tenant.')
  }
  const call: EdgeCall = {
    edge,
    store: edge.policyStoreOf(shardOf(tenant ?? '')),
    edit: {
      actor,
      tenant: tenant ?? '',
      ifRevision: revisionOf(c.req.header('if-match'), entry.needsRevision),
    },
    param: (name) => params[name] ?? '',
    query: (name) => c.req.query(name) ?? null,
  }
  const body = entry.body === null ? null : await checkedBody(c.req.raw, entry)
  const handling = entry.handle(call, body)
  if (!(await settledWithin(handling, STORE_MS_MAX))) {
    throw new RouteError('tenancy_unavailable', 'The policy store does not answer.')
  }
  const result = await handling
  if (result.changedRevision !== undefined) {
    c.executionCtx.waitUntil(spread(edge, shardOf(tenant ?? tenantOf(result.body)), result.changedRevision))
  }
  const headers: Record<string, string> = { 'cache-control': 'no-store' }
  if (result.etag !== undefined) headers['etag'] = `"${result.etag}"`
  return Response.json(result.body, { status: entry.status, headers })
}

/** null: whatever revision the tenant has. */
function revisionOf(ifMatch: string | undefined, isNeeded: boolean): number | null {
  if (ifMatch === undefined) {
    if (!isNeeded) return null
    throw new RouteError('precondition_required', 'Say in if-match which revision you saw, or *.')
  }
  if (ifMatch === '*') return null
  const revision = /^"(\d{1,15})"$/.exec(ifMatch)?.[1]
  if (revision === undefined)
    throw new RouteError('precondition_failed', 'if-match takes the ETag of the tenant, or *.')
  return Number(revision)
}

async function checkedBody(request: Request, entry: Endpoint<EdgeCall>): Promise<unknown> {
  const json = parseBody(await readBytes(request, POLICY_BYTES_MAX))
  // A schema would drop it in silence, and the operator would believe that it is stored.
  if (hasProto(json)) throw new RouteError('invalid_request', "The body has a field called '__proto__'.")
  const parsed = entry.body?.safeParse(json)
  if (parsed?.success) return parsed.data
  const issues = (parsed?.error.issues ?? []).slice(0, 10)
  const text = issues.map(({ path, message }) => `/${path.map(String).join('/')}: ${message}`).join('; ')
  throw new RouteError('invalid_request', `The body does not have the form that is asked for. ${text}`)
}

/** Without recursion: the body may be as deep as it is long. */
function hasProto(json: unknown): boolean {
  const waiting = [json]
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    if (typeof value !== 'object' || value === null) continue
    if (Object.hasOwn(value, '__proto__')) return true
    for (const member of Object.values(value)) waiting.push(member ?? false)
  }
  return false
}

function tenantOf(body: unknown): string {
  return typeof body === 'object' && body !== null && 'tenant' in body ? String(body.tenant) : ''
}

/** Every directory names the new revision in its answers, so that isolates ask again before their copies are due. */
async function spread(edge: Edge, shard: number, revision: number): Promise<void> {
  const directories = [...edge.regions.keys()].flatMap((region) => edge.directories.all(region))
  await Promise.allSettled(directories.map((object) => object.open().noteVersion(shardName(shard), revision)))
}
