/** The operators' API: tenants and their keys. A key is made here, shown once, and stored as its digest. */
import { createHash, randomBytes } from 'node:crypto'
import { z } from 'zod'
import { formatApiKey, POLICY_SHARDS, shardOf } from '../core/api-key.ts'
import {
  auditPageSchema,
  deletedSchema,
  issuedKeySchema,
  keysSchema,
  newKeySchema,
  newTenantSchema,
  rotationSchema,
  tenantsPageSchema,
  usageSchema,
} from '../protocol/admin-api.ts'
import { RouteError } from '../protocol/errors.ts'
import {
  keyViewSchema,
  tenantViewSchema,
  type Change,
  type NewKey,
  type TenantView,
} from '../protocol/policy-store.ts'
import { endpoint, type AdminCall, type AdminResult, type Endpoint } from './admin/endpoint.ts'
import type { Edge } from './env.ts'
import { usable } from './usable-policy.ts'

export interface EdgeCall extends AdminCall {
  readonly edge: Edge
}

const PAGE = 100
const PAGE_MAX = 500
const KEY_ID_BYTES = 9

export const TENANT_ENDPOINTS: readonly Endpoint<EdgeCall>[] = [
  endpoint({
    method: 'get',
    path: '/admin/tenants',
    summary: 'Tenants of the policy store, by shard and name',
    query: ['after', 'limit'],
    answer: tenantsPageSchema,
    handle: async ({ edge, query }: EdgeCall) => ({
      body: await listTenants(edge, query('after'), limitOf(query('limit'))),
    }),
  }),
  endpoint({
    method: 'post',
    path: '/admin/tenants',
    summary: 'A new tenant with the first version of its policy, live at once',
    body: newTenantSchema,
    answer: tenantViewSchema,
    status: 201,
    handle: async ({ edge, edit }: EdgeCall, { tenant, policy, note }) => {
      if (edge.configuredTenants.has(tenant))
        throw new RouteError('conflict', 'The configuration has such a tenant.')
      const store = edge.policyStoreOf(shardOf(tenant))
      return tenantResult(await store.createTenant({ ...edit, tenant }, usable(edge, policy), note))
    },
  }),
  endpoint({
    method: 'get',
    path: '/admin/tenants/:tenant',
    summary: 'A tenant',
    answer: tenantViewSchema,
    handle: async ({ store, edit }: EdgeCall) => {
      const view = await store.tenant(edit.tenant)
      if (!view) throw new RouteError('not_found', 'There is no such tenant.')
      return { body: view, etag: view.revision }
    },
  }),
  endpoint({
    method: 'delete',
    path: '/admin/tenants/:tenant',
    summary: 'Ends a tenant with its keys and policies; its usage stays',
    answer: deletedSchema,
    needsRevision: true,
    handle: async ({ store, edit }: EdgeCall) => {
      const { revision } = valueOf(await store.deleteTenant(edit))
      return { body: { deleted: true }, changedRevision: revision }
    },
  }),
  endpoint({
    method: 'get',
    path: '/admin/tenants/:tenant/keys',
    summary: 'Keys of a tenant, without the keys themselves',
    answer: keysSchema,
    handle: async ({ store, edit }: EdgeCall) => ({ body: { keys: await store.keys(edit.tenant) } }),
  }),
  endpoint({
    method: 'post',
    path: '/admin/tenants/:tenant/keys',
    summary: 'A new key',
    body: newKeySchema,
    answer: issuedKeySchema,
    status: 201,
    handle: async ({ store, edit }: EdgeCall, { label, expiresMs }) => {
      const { apiKey, key } = makeKey(edit.tenant, label, expiresMs)
      const { value, revision } = valueOf(await store.addKey(edit, key))
      return { body: { ...value, apiKey }, changedRevision: revision }
    },
  }),
  endpoint({
    method: 'post',
    path: '/admin/tenants/:tenant/keys/:keyId/rotate',
    summary: 'A new key in place of one that stays good for a while',
    body: rotationSchema,
    answer: issuedKeySchema,
    status: 201,
    handle: async ({ store, edit, param }: EdgeCall, { label, expiresMs, overlapMs }) => {
      const { apiKey, key } = makeKey(edit.tenant, label, expiresMs)
      const { value, revision } = valueOf(await store.rotateKey(edit, param('keyId'), key, overlapMs))
      return { body: { ...value, apiKey }, changedRevision: revision }
    },
  }),
  endpoint({
    method: 'delete',
    path: '/admin/tenants/:tenant/keys/:keyId',
    summary: 'Revokes a key: within ten seconds it works nowhere',
    answer: keyViewSchema,
    handle: async ({ store, edit, param }: EdgeCall) => {
      const { value, revision } = valueOf(await store.revokeKey(edit, param('keyId')))
      return { body: value, changedRevision: revision }
    },
  }),
  endpoint({
    method: 'get',
    path: '/admin/tenants/:tenant/usage',
    summary: 'What a tenant has used, by day and model; tenants of the configuration too',
    query: ['from', 'to'],
    answer: usageSchema,
    handle: async ({ edge, edit, query }: EdgeCall) => {
      const to = dayOf(query('to')) ?? new Date().toISOString().slice(0, 10)
      const from = dayOf(query('from')) ?? `${to.slice(0, 8)}01`
      return { body: await edge.ledgerOf(edit.tenant).usage(from, to) }
    },
  }),
  endpoint({
    method: 'get',
    path: '/admin/tenants/:tenant/audit',
    summary: 'Who changed what of a tenant, newest first',
    query: ['before', 'limit'],
    answer: auditPageSchema,
    handle: async ({ store, edit, query }: EdgeCall) => {
      const before = z.coerce
        .number()
        .int()
        .positive()
        .safeParse(query('before') ?? undefined)
      const entries = await store.audit(edit.tenant, before.data ?? null, limitOf(query('limit')))
      return { body: { entries } }
    },
  }),
]

/** Throws the fault that a change ended with. */
export function valueOf<T>(change: Change<T>): { value: T; revision: number } {
  if (!change.ok) throw new RouteError(change.code, change.message)
  return change
}

export function tenantResult(change: Change<TenantView>): AdminResult {
  const { value, revision } = valueOf(change)
  return { body: value, etag: value.revision, changedRevision: revision }
}

/** `after` is `shard:tenant`: shards are read one after another until the page is full. */
async function listTenants(
  edge: Edge,
  after: string | null,
  limit: number,
): Promise<z.infer<typeof tenantsPageSchema>> {
  const [, shardText = '0', name = ''] = /^(\d{1,2}):([a-z0-9.-]{0,63})$/.exec(after ?? '') ?? []
  const tenants: TenantView[] = []
  let from = name
  for (let shard = Number(shardText); shard < POLICY_SHARDS; shard++) {
    const page = await edge.policyStoreOf(shard).tenants(from, limit - tenants.length)
    tenants.push(...page)
    const last = tenants.at(-1)
    if (last && tenants.length >= limit) return { tenants, next: `${shard}:${last.tenant}` }
    from = ''
  }
  return { tenants, next: null }
}

function makeKey(tenant: string, label: string, expiresMs: number | null): { apiKey: string; key: NewKey } {
  const apiKey = formatApiKey(shardOf(tenant), randomBytes(32).toString('base64url'))
  const digest = createHash('sha256').update(apiKey).digest('hex')
  return { apiKey, key: { keyId: randomBytes(KEY_ID_BYTES).toString('base64url'), digest, label, expiresMs } }
}

function limitOf(text: string | null): number {
  return z.coerce
    .number()
    .int()
    .min(1)
    .max(PAGE_MAX)
    .catch(PAGE)
    .parse(text ?? undefined)
}

function dayOf(text: string | null): string | null {
  if (text === null) return null
  const day = z.iso.date().safeParse(text)
  if (!day.success) throw new RouteError('invalid_request', 'A day is like 2026-11-25.')
  return day.data
}
