/** API key -> tenant, operator's token -> operator. API keys are known by their SHA-256 only, so finding one tells nothing about the others. */
import { createHash } from 'node:crypto'
import { shardOfKey } from '../core/api-key.ts'
import { equalSecrets } from '../core/equal-secrets.ts'
import { RouteError } from '../protocol/errors.ts'
import type { ActiveTenant } from '../protocol/tenancy.ts'
import type { Edge } from './env.ts'
import { findTenant } from './tenant-lookup.ts'

const KEY_CHARS_MAX = 512

/** As the configuration and the policy store know the key. */
export function digestOfKey(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}

/** The bearer token of an `authorization` header, or null. */
export function bearerToken(header: string | null | undefined): string | null {
  const token = /^bearer +(\S+) *$/i.exec(header ?? '')?.[1]
  return token === undefined || token.length > KEY_CHARS_MAX ? null : token
}

/** Throws `missing_api_key`, and what `findTenant` throws. */
export async function authenticate(
  edge: Edge,
  header: string | null | undefined,
  region: string,
  waitUntil: (work: Promise<void>) => void,
): Promise<ActiveTenant> {
  const token = bearerToken(header)
  if (token === null) {
    throw new RouteError('missing_api_key', 'No API key provided: use the header Authorization: Bearer KEY.')
  }
  const digest = edge.keyDigests.of(token)
  const configured = edge.tenants.get(digest)
  if (configured) {
    const { tenant, policy } = configured
    return { tenant, policy, policyVersion: 0, keyId: 'config', shadow: null }
  }
  const shard = shardOfKey(token)
  if (shard === null) throw new RouteError('invalid_api_key', 'Incorrect API key provided.')
  return findTenant(edge, digest, shard, region, waitUntil)
}

/** The operator's name; throws unless the header carries the token of one. Every token is compared, whole. */
export function authenticateOperator(
  operators: ReadonlyMap<string, string>,
  header: string | null | undefined,
): string {
  const token = bearerToken(header)
  if (token === null) throw new RouteError('missing_api_key', 'No operator token provided.')
  const names = [...operators].filter(([, secret]) => equalSecrets(token, secret)).map(([name]) => name)
  if (names[0] === undefined) throw new RouteError('forbidden', 'Incorrect operator token.')
  return names[0]
}
