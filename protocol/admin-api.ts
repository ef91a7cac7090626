/** Bodies of the operators' API. `worker/admin/` makes its OpenAPI document of them. */
import { z } from 'zod'
import { nameSchema } from './ids.ts'
import { auditEntrySchema, keyViewSchema, policyViewSchema, tenantViewSchema } from './policy-store.ts'
import { policySchema } from './policy.ts'

const DAY_MS = 86_400_000

const noteSchema = z.string().max(500).default('').describe('Why, for the next reader')
const labelSchema = z.string().max(100).default('').describe('Whose key it is, or what for')
const expiresMsSchema = z
  .int()
  .positive()
  .nullable()
  .default(null)
  .describe('When the key ends, in milliseconds since the epoch; null: never')

export const newTenantSchema = z.strictObject({ tenant: nameSchema, policy: policySchema, note: noteSchema })
export const newPolicySchema = z.strictObject({ policy: policySchema, note: noteSchema })
export const newKeySchema = z.strictObject({ label: labelSchema, expiresMs: expiresMsSchema })
export const rotationSchema = z.strictObject({
  label: labelSchema,
  expiresMs: expiresMsSchema,
  overlapMs: z
    .int()
    .nonnegative()
    .max(30 * DAY_MS)
    .default(DAY_MS)
    .describe('How long the old key stays good'),
})

/** The key itself is in no other answer and nowhere stored. */
export const issuedKeySchema = keyViewSchema.extend({ apiKey: z.string().describe('Shown once') })
export const tenantsPageSchema = z.object({
  tenants: z.array(tenantViewSchema),
  next: z.string().nullable().describe('`after` of the next page; null: there is none'),
})
export const keysSchema = z.object({ keys: z.array(keyViewSchema) })
export const policiesSchema = z.object({ policies: z.array(policyViewSchema) })
export const storedPolicySchema = z.object({ version: z.int(), policy: policySchema })
export const auditPageSchema = z.object({ entries: z.array(auditEntrySchema) })
const countSchema = z.int().nonnegative()
export const usageSchema = z.object({
  rows: z.array(
    z.object({
      day: z.iso.date(),
      model: z.string(),
      requests: countSchema,
      uncachedTokens: countSchema,
      cachedTokens: countSchema,
      outputTokens: countSchema,
      nanoUsd: countSchema,
      lostRequests: countSchema.describe('Requests whose outcome never came'),
    }),
  ),
  budget: z.object({ period: z.string(), spentNanoUsd: countSchema, heldNanoUsd: countSchema }),
  requestsUnderWay: countSchema,
})

export const deletedSchema = z.object({ deleted: z.literal(true) })

export const issueSchema = z.object({ path: z.string(), message: z.string() })
export type Issue = z.infer<typeof issueSchema>
export const validationSchema = z.object({ valid: z.boolean(), issues: z.array(issueSchema) })

export const differenceSchema = z.object({
  path: z.string().describe('JSON pointer'),
  before: z.unknown(),
  after: z.unknown(),
})
export type Difference = z.infer<typeof differenceSchema>
export const diffSchema = z.object({ differences: z.array(differenceSchema) })
