/** A policy that this deployment can serve, or the reasons against it. */
import { RouteError } from '../protocol/errors.ts'
import type { Policy } from '../protocol/policy.ts'
import { checkPolicy } from './admin/check-policy.ts'
import type { Edge } from './env.ts'

/** Throws `invalid_request` with every reason. */
export function usable(edge: Edge, policy: Policy): Policy {
  const issues = checkPolicy(policy, edge.config)
  if (issues.length === 0) return policy
  const reasons = issues.map(({ path, message }) => `${path}: ${message}`)
  throw new RouteError('invalid_request', reasons.join(' '), { param: 'policy' })
}
