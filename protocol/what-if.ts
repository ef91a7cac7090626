/** `what_if` of `POST /v1/route/explain`: what a tenant may suppose. Whatever would show it more than it may see is missing. */
import { z } from 'zod'
import { CLUSTERS_MAX, nameSchema } from './ids.ts'
import { hedgingSchema, objectiveSchema } from './policy.ts'

export const whatIfSchema = z.strictObject({
  policy_version: z
    .int()
    .positive()
    .optional()
    .describe(
      "A stored version of the tenant's policy instead of the live one, within the live one's places",
    ),
  policy: z
    .strictObject({
      regions: z.array(nameSchema).min(1).max(CLUSTERS_MAX).optional(),
      residency: z.array(nameSchema).min(1).max(16).optional(),
      objective: objectiveSchema.optional(),
      hedging: hedgingSchema.nullable().optional(),
      attemptsMax: z.int().min(1).max(5).optional(),
    })
    .default({})
    .describe("Changes to the tenant's policy; regions and residency can only be fewer"),
  dead_regions: z.array(nameSchema).max(64).default([]).describe('Regions whose clusters are gone'),
  dead_clusters: z.array(nameSchema).max(16).default([]).describe('Clusters that are gone'),
})
export type WhatIf = z.infer<typeof whatIfSchema>
