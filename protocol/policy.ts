/**
 * What a tenant may use and how it wants to be served: one document, the same in `ISOTHERM_CONFIG` and, by version, in the
 * policy store. Every field but `regions` has a default.
 */
import { z } from 'zod'
import { CLUSTERS_MAX, MODELS_MAX, modelNameSchema, nameSchema } from './ids.ts'

/** The largest policy document, as JSON. */
export const POLICY_BYTES_MAX = 64 * 1024

const usdSchema = z.number().nonnegative().max(1_000_000)

export const priceSchema = z.strictObject({
  uncachedUsd: usdSchema.describe('USD for a million prompt tokens that had to be prefilled'),
  cachedUsd: usdSchema.describe('USD for a million prompt tokens that came from cache'),
  outputUsd: usdSchema.describe('USD for a million tokens of answers'),
})
export type Price = z.infer<typeof priceSchema>

/** The entry of `prices` for models that have none of their own. */
export const PRICE_OF_OTHERS = '*'

export const budgetSchema = z.strictObject({
  usd: z.number().positive().max(1_000_000).describe('USD that may be spent in a period'),
  period: z.enum(['day', 'month']).describe('Days and months are those of UTC'),
})

export const objectiveSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('latency') }),
  z.strictObject({
    kind: z.literal('money'),
    usdPerHour: z.number().positive().max(1_000_000).describe('What an hour of waiting for tokens is worth'),
  }),
])
export type Objective = z.infer<typeof objectiveSchema>

export const hedgingSchema = z.strictObject({
  quantile: z
    .number()
    .min(0.5)
    .max(0.999)
    .describe('Quantile of predicted TTFT after which a duplicate goes'),
  shareMax: z.number().positive().max(0.2).describe('Largest share of requests that may be duplicated'),
})

export const policySchema = z.strictObject({
  regions: z
    .array(nameSchema)
    .min(1)
    .max(CLUSTERS_MAX)
    .describe('Regions whose clusters may serve the tenant'),
  residency: z
    .array(nameSchema)
    .min(1)
    .max(16)
    .nullable()
    .default(null)
    .describe('Jurisdictions that prompts may enter, whatever `regions` says; null: any'),
  models: z
    .array(modelNameSchema)
    .max(MODELS_MAX)
    .nullable()
    .default(null)
    .describe('Models the tenant may use; null: all'),
  adapters: z
    .array(modelNameSchema)
    .max(MODELS_MAX)
    .default([])
    .describe('Adapters the tenant may use beside `models`, as the engines name them'),
  aliases: z
    .record(modelNameSchema, modelNameSchema)
    .refine((aliases) => Object.keys(aliases).length <= MODELS_MAX, `at most ${MODELS_MAX} aliases`)
    .default({})
    .describe('Names that the tenant may say for a model or adapter'),
  shareScope: z
    .string()
    .min(1)
    .max(128)
    .optional()
    .describe('Group that shares cache; default: the tenant alone'),
  objective: objectiveSchema
    .default({ kind: 'latency' })
    .describe('What a plan minimises: time, or money turned into time'),
  slo: z
    .strictObject({
      ttftMs: z.int().positive().nullable().default(null).describe('Time to first token in ms'),
      itlMs: z.int().positive().nullable().default(null).describe('Time between tokens in ms'),
    })
    .default({ ttftMs: null, itlMs: null })
    .describe('What the tenant was promised; null: nothing'),
  requestsPerMinute: z
    .int()
    .positive()
    .nullable()
    .default(null)
    .describe('Requests a minute; null: unlimited'),
  tokensPerMinute: z
    .int()
    .positive()
    .nullable()
    .default(null)
    .describe('Prompt and answer tokens a minute; null: unlimited'),
  concurrentMax: z
    .int()
    .positive()
    .max(100_000)
    .nullable()
    .default(null)
    .describe('Requests under way at once; null: unlimited'),
  budget: budgetSchema.nullable().default(null).describe('Money for a period; null: unlimited'),
  prices: z
    .record(modelNameSchema, priceSchema)
    .refine((prices) => Object.keys(prices).length <= MODELS_MAX, `at most ${MODELS_MAX} prices`)
    .default({})
    .describe(`Prices by model; "${PRICE_OF_OTHERS}" for all others; no price: free`),
  priority: z.int().min(-100).max(100).default(0).describe('Higher goes first where requests wait'),
  promptBytesMax: z.int().positive().optional().describe('Largest request body in bytes; default: 32 MiB'),
  attemptsMax: z.int().min(1).max(5).default(3).describe('Clusters tried for one request'),
  deadlineMs: z
    .int()
    .positive()
    .max(3_600_000)
    .default(600_000)
    .describe('Longest wait for the first byte, in ms'),
  hedging: hedgingSchema
    .nullable()
    .default(null)
    .describe('Duplicates of late requests to a second warm cluster; null: none'),
  loadAgeMsMax: z
    .int()
    .positive()
    .max(60_000)
    .optional()
    .describe('Age in ms beyond which a load is not believed and conversations stay; default: 5 s'),
  residencyAgeMsMax: z
    .int()
    .positive()
    .max(600_000)
    .optional()
    .describe('Age in ms beyond which nothing of a cluster is believed; default: 30 s'),
  onOutage: z
    .enum(['open', 'closed'])
    .default('open')
    .describe('Whether requests pass while the policy store or the ledger does not answer'),
  routingOverride: z.boolean().default(false).describe('The tenant may name another routing for a request'),
})
export type Policy = z.infer<typeof policySchema>
export type PolicyInput = z.input<typeof policySchema>
