/** A version of a tenant's policy that is not the live one, from the policy store itself: nobody waits for tokens here. */
import { shardOf } from '../core/api-key.ts'
import { RouteError } from '../protocol/errors.ts'
import type { Policy } from '../protocol/policy.ts'
import type { Edge } from './env.ts'
import { settledWithin } from './settled-within.ts'
import { STORE_MS_MAX } from './tenant-lookup.ts'

/** Throws `invalid_request` when there is no such version, `tenancy_unavailable` when nobody says. */
export async function storedPolicy(edge: Edge, tenant: string, version: number): Promise<Policy> {
  const asking = edge
    .policyStoreOf(shardOf(tenant))
    .policy(tenant, version)
    .catch(() => undefined)
  const found = (await settledWithin(asking, STORE_MS_MAX)) ? await asking : undefined
  if (found === undefined) throw new RouteError('tenancy_unavailable', 'The policy store does not answer.')
  if (found !== null) return found.policy
  throw new RouteError('invalid_request', `This tenant's policy has no version ${version}.`, {
    param: 'what_if',
  })
}
