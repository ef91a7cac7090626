/**
 * The policy store: tenants, the digests of their keys, and their policies by version. One object a shard of tenants; a copy
 * of it in each region answers the isolates there. Reading and writing are by RPC; faults are values.
 */
import { z } from 'zod'
import type { ErrorCode } from './errors.ts'
import { nameSchema } from './ids.ts'
import type { Policy } from './policy.ts'

export const KEYS_MAX = 64
/** Versions of a tenant's policy that are kept beside the live, shadow and previous one. */
export const VERSIONS_MAX = 50
/** Keys of one question: an isolate asks a shard once for all that are due. */
export const QUESTIONS_MAX = 256

/** Digits of a SHA-256 of an API key. */
export interface KeyQuestion {
  readonly digest: string
  /** The tenant's revision that the asker holds; null when it holds none. */
  readonly revision: number | null
}

export type KeyAnswer =
  /** The asker's copy is true. */
  | { readonly kind: 'same' }
  | { readonly kind: 'unknown' }
  | {
      readonly kind: 'tenant'
      readonly tenant: string
      /** Grows with every change of the tenant, its keys or its policy. */
      readonly revision: number
      readonly keyId: string
      /** Milliseconds since the epoch; null: never. */
      readonly expiresMs: number | null
      /** null: the tenant has no policy, and may do nothing. */
      readonly live: PolicyVersion | null
      readonly shadow: PolicyVersion | null
    }

export interface PolicyVersion {
  readonly version: number
  readonly policy: Policy
}

export interface Resolution {
  /** The shard's revision as of the answers: it grows with every change of any of its tenants. */
  readonly revision: number
  readonly answers: readonly KeyAnswer[]
}

/** What an isolate asks, of the copy in its region or of the store itself. */
export interface KeyResolver {
  /** `revision`: the newest that the asker has heard of; an answer is at least as new. */
  resolve(questions: readonly KeyQuestion[], revision: number): Promise<Resolution>
}

const atMsSchema = z.int().describe('Milliseconds since the epoch')
const versionSchema = z.int().positive()

export const keyViewSchema = z.object({
  keyId: z.string(),
  label: z.string(),
  createdMs: atMsSchema,
  expiresMs: atMsSchema.nullable(),
  revokedMs: atMsSchema.nullable(),
})
export type KeyView = z.infer<typeof keyViewSchema>

export const policyViewSchema = z.object({
  version: versionSchema,
  createdMs: atMsSchema,
  createdBy: z.string(),
  note: z.string(),
})
export type PolicyView = z.infer<typeof policyViewSchema>

export const tenantViewSchema = z.object({
  tenant: nameSchema,
  revision: z.int().describe('Grows with every change; also the ETag'),
  createdMs: atMsSchema,
  liveVersion: versionSchema.nullable(),
  shadowVersion: versionSchema.nullable(),
  previousVersion: versionSchema.nullable().describe('What a rollback goes back to'),
})
export type TenantView = z.infer<typeof tenantViewSchema>

export const auditEntrySchema = z.object({
  id: z.int(),
  atMs: atMsSchema,
  actor: z.string(),
  action: z.string(),
  tenant: nameSchema,
  detail: z.string().describe('What it was done to: the id of a key, a version'),
})
export type AuditEntry = z.infer<typeof auditEntrySchema>

export const SHADOW_SAMPLES_MAX = 20
export const shadowTallySchema = z.object({
  requests: z.int(),
  same: z.int(),
  otherCluster: z.int(),
  refusedByShadow: z.int(),
  refusedByLive: z.int(),
  samples: z
    .array(z.object({ requestId: z.string(), live: z.string(), shadow: z.string() }))
    .max(SHADOW_SAMPLES_MAX)
    .describe('Requests that would have gone elsewhere'),
})
export type ShadowTally = z.infer<typeof shadowTallySchema>

export interface NewKey {
  readonly keyId: string
  readonly digest: string
  readonly label: string
  readonly expiresMs: number | null
}

/** `revision`: the shard's, for those who spread it. */
export type Change<T> =
  | { readonly ok: true; readonly value: T; readonly revision: number }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string }

/** Who changes what. `ifRevision`: only if the tenant still has it; null: whatever it has. */
export interface Edit {
  readonly actor: string
  readonly tenant: string
  readonly ifRevision: number | null
}

export interface PolicyStoreRpc extends KeyResolver {
  createTenant(edit: Edit, policy: Policy, note: string): Promise<Change<TenantView>>
  deleteTenant(edit: Edit): Promise<Change<null>>
  tenant(tenant: string): Promise<TenantView | null>
  tenants(after: string, limit: number): Promise<readonly TenantView[]>

  addKey(edit: Edit, key: NewKey): Promise<Change<KeyView>>
  /** The old key stays good for `overlapMs`. */
  rotateKey(edit: Edit, keyId: string, next: NewKey, overlapMs: number): Promise<Change<KeyView>>
  revokeKey(edit: Edit, keyId: string): Promise<Change<KeyView>>
  keys(tenant: string): Promise<readonly KeyView[]>

  addPolicy(edit: Edit, policy: Policy, note: string): Promise<Change<PolicyView>>
  /** The live one too: then the tenant may do nothing until another is activated. */
  deletePolicy(edit: Edit, version: number): Promise<Change<TenantView>>
  policies(tenant: string): Promise<readonly PolicyView[]>
  policy(tenant: string, version: number): Promise<PolicyVersion | null>
  activate(edit: Edit, version: number): Promise<Change<TenantView>>
  rollBack(edit: Edit): Promise<Change<TenantView>>
  /** null ends the shadow. */
  shadow(edit: Edit, version: number | null): Promise<Change<TenantView>>
  noteShadow(tenant: string, version: number, tally: ShadowTally): Promise<void>
  shadowTally(tenant: string, version: number): Promise<ShadowTally | null>

  /** Newest first, before the entry `before`; of one tenant or of all of the shard. */
  audit(tenant: string | null, before: number | null, limit: number): Promise<readonly AuditEntry[]>
}
