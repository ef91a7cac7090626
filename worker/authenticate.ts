/** API key -> tenant. Keys are known by their SHA-256 only, so finding one tells nothing about the others. */
import { createHash } from 'node:crypto'
import { equalSecrets } from '../core/equal-secrets.ts'
import type { TenantConfig } from '../protocol/edge-config.ts'
import { RouteError } from '../protocol/errors.ts'
import type { ActiveTenant } from '../protocol/tenancy.ts'

const KEY_CHARS_MAX = 512

/** The bearer token of an `authorization` header, or null. */
export function bearerToken(header: string | null | undefined): string | null {
  const token = /^bearer +(\S+) *$/i.exec(header ?? '')?.[1]
  return token === undefined || token.length > KEY_CHARS_MAX ? null : token
}

/** Throws `missing_api_key` or `invalid_api_key`. */
export function authenticate(
  tenants: ReadonlyMap<string, TenantConfig>,
  header: string | null | undefined,
): ActiveTenant {
  const token = bearerToken(header)
  if (token === null) {
    throw new RouteError('missing_api_key', 'No API key provided: use the header Authorization: Bearer KEY.')
  }
  const digest = createHash('sha256').update(token).digest('hex')
  const tenant = tenants.get(digest)
  const isKnown = tenant?.apiKeySha256.some((known) => equalSecrets(digest, known)) ?? false
  if (!tenant || !isKnown) throw new RouteError('invalid_api_key', 'Incorrect API key provided.')
  return { tenant: tenant.tenant, policy: tenant.policy, policyVersion: 0, keyId: 'config', shadow: null }
}

/** Throws unless the header carries the operator's token. */
export function authenticateOperator(adminToken: string, header: string | null | undefined): void {
  const token = bearerToken(header)
  if (token === null) throw new RouteError('missing_api_key', 'No operator token provided.')
  if (!equalSecrets(token, adminToken)) throw new RouteError('forbidden', 'Incorrect operator token.')
}
