/** The operators' API: policies by version. A version never changes; what is live, shadowed or next is which version. */
import { z } from 'zod'
import {
  diffSchema,
  newPolicySchema,
  policiesSchema,
  storedPolicySchema,
  validationSchema,
} from '../protocol/admin-api.ts'
import { RouteError } from '../protocol/errors.ts'
import {
  policyViewSchema,
  shadowTallySchema,
  tenantViewSchema,
  type PolicyVersion,
  type ShadowTally,
} from '../protocol/policy-store.ts'
import { policySchema } from '../protocol/policy.ts'
import { checkPolicy } from './admin/check-policy.ts'
import { diffPolicies } from './admin/diff-policies.ts'
import { endpoint, type Endpoint } from './admin/endpoint.ts'
import { tenantResult, valueOf, type EdgeCall } from './admin-tenants.ts'
import { usable } from './usable-policy.ts'

const NO_TALLY: ShadowTally = {
  requests: 0,
  same: 0,
  otherCluster: 0,
  refusedByShadow: 0,
  refusedByLive: 0,
  samples: [],
}

export const POLICY_ENDPOINTS: readonly Endpoint<EdgeCall>[] = [
  endpoint({
    method: 'post',
    path: '/admin/policies/validate',
    summary: 'Whether a policy can be served; nothing is stored',
    body: z.unknown(),
    answer: validationSchema,
    handle: async ({ edge }: EdgeCall, body) => {
      const parsed = policySchema.safeParse(body)
      const issues = parsed.success
        ? checkPolicy(parsed.data, edge.config)
        : parsed.error.issues.map(({ path, message }) => ({ path: `/${path.join('/')}`, message }))
      return { body: { valid: issues.length === 0, issues } }
    },
  }),
  endpoint({
    method: 'get',
    path: '/admin/tenants/:tenant/policies',
    summary: 'Versions of the policy, newest first',
    answer: policiesSchema,
    handle: async ({ store, edit }: EdgeCall) => ({ body: { policies: await store.policies(edit.tenant) } }),
  }),
  endpoint({
    method: 'post',
    path: '/admin/tenants/:tenant/policies',
    summary: 'A new version, without effect until it is activated',
    body: newPolicySchema,
    answer: policyViewSchema,
    status: 201,
    handle: async ({ edge, store, edit }: EdgeCall, { policy, note }) => {
      const { value, revision } = valueOf(await store.addPolicy(edit, usable(edge, policy), note))
      return { body: value, etag: revision, changedRevision: revision }
    },
  }),
  endpoint({
    method: 'get',
    path: '/admin/tenants/:tenant/policies/:version',
    summary: 'A version',
    answer: storedPolicySchema,
    handle: async (call: EdgeCall) => ({ body: await versionOf(call, call.param('version')) }),
  }),
  endpoint({
    method: 'delete',
    path: '/admin/tenants/:tenant/policies/:version',
    summary: 'Deletes a version; without a live one the tenant may do nothing',
    answer: tenantViewSchema,
    needsRevision: true,
    handle: async ({ store, edit, param }: EdgeCall) =>
      tenantResult(await store.deletePolicy(edit, numberOf(param('version')))),
  }),
  endpoint({
    method: 'get',
    path: '/admin/tenants/:tenant/policies/:version/diff',
    summary: 'How a version differs from another, by default the live one',
    query: ['against'],
    answer: diffSchema,
    handle: async (call: EdgeCall) => {
      const live = (await call.store.tenant(call.edit.tenant))?.liveVersion
      const against = await versionOf(call, call.query('against') ?? String(live ?? ''))
      const { policy } = await versionOf(call, call.param('version'))
      return { body: { differences: diffPolicies(against.policy, policy) } }
    },
  }),
  endpoint({
    method: 'post',
    path: '/admin/tenants/:tenant/policies/:version/activate',
    summary: 'Makes a version live',
    answer: tenantViewSchema,
    needsRevision: true,
    handle: async (call: EdgeCall) => {
      // What could be served when it was stored may not be any more.
      const { version, policy } = await versionOf(call, call.param('version'))
      usable(call.edge, policy)
      return tenantResult(await call.store.activate(call.edit, version))
    },
  }),
  endpoint({
    method: 'post',
    path: '/admin/tenants/:tenant/rollback',
    summary: 'Makes the previous live version live again',
    answer: tenantViewSchema,
    needsRevision: true,
    handle: async ({ store, edit }: EdgeCall) => tenantResult(await store.rollBack(edit)),
  }),
  endpoint({
    method: 'post',
    path: '/admin/tenants/:tenant/policies/:version/shadow',
    summary: 'Evaluates a version beside the live one, without effect',
    answer: tenantViewSchema,
    needsRevision: true,
    handle: async ({ store, edit, param }: EdgeCall) =>
      tenantResult(await store.shadow(edit, numberOf(param('version')))),
  }),
  endpoint({
    method: 'get',
    path: '/admin/tenants/:tenant/policies/:version/shadow',
    summary: 'What a shadow would have done otherwise',
    answer: shadowTallySchema,
    handle: async ({ store, edit, param }: EdgeCall) => ({
      body: (await store.shadowTally(edit.tenant, numberOf(param('version')))) ?? NO_TALLY,
    }),
  }),
  endpoint({
    method: 'delete',
    path: '/admin/tenants/:tenant/shadow',
    summary: 'Ends the shadow',
    answer: tenantViewSchema,
    needsRevision: true,
    handle: async ({ store, edit }: EdgeCall) => tenantResult(await store.shadow(edit, null)),
  }),
]

async function versionOf({ store, edit }: EdgeCall, text: string): Promise<PolicyVersion> {
  const stored = await store.policy(edit.tenant, numberOf(text))
  if (!stored) throw new RouteError('not_found', 'There is no such version of the policy.')
  return stored
}

function numberOf(text: string): number {
  const version = z.coerce.number().int().positive().safeParse(text)
  if (!version.success) throw new RouteError('not_found', 'There is no such version of the policy.')
  return version.data
}
