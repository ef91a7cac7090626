/**
 * Configuration of the edge: tenants, policies, clusters. One JSON document in the binding `ISOTHERM_CONFIG`; secrets
 * have bindings of their own. API keys are stored as SHA-256 digests only.
 */
import { z } from 'zod'
import { CLUSTERS_MAX, nameSchema } from './ids.ts'
import { shardLayoutSchema, SHARDS_MAX } from './shard-layout.ts'
import { policySchema, priceSchema } from './policy.ts'

export { policySchema, type Policy } from './policy.ts'

export const ROUTINGS = ['isotherm', 'nearest', 'sticky', 'random'] as const
export const routingSchema = z.enum(ROUTINGS)
export type Routing = z.infer<typeof routingSchema>

/** A tenant with the right to it names another routing here; for everybody else the header is dropped. */
export const ROUTING_HEADER = 'x-isotherm-routing'

export const clusterConfigSchema = z.strictObject({
  cluster: nameSchema.describe('Name of the cluster, as its agent reports it'),
  region: nameSchema.describe('Region that the cluster stands in; residency rules speak of it'),
  url: z.url({ protocol: /^https?$/ }).describe('Base URL of the cluster agent'),
  entrances: z
    .record(nameSchema, z.url({ protocol: /^https?$/ }))
    .default({})
    .describe('Other base URLs, by the region of the edge that asks'),
  binding: z
    .string()
    .regex(/^[A-Z][A-Z0-9_]{0,63}$/)
    .optional()
    .describe('Binding that calls go through: an mTLS certificate, a VPC service, another Worker'),
  price: priceSchema
    .optional()
    .describe('What tokens cost there, for policies whose objective is money; default: nothing'),
})
export type ClusterConfig = z.infer<typeof clusterConfigSchema>

export const regionConfigSchema = z.strictObject({
  region: nameSchema.describe('Name of the region; one cache directory each'),
  jurisdiction: nameSchema.optional().describe('Whose law holds there, for policies that name residencies'),
  locationHint: z.string().max(16).optional().describe('Durable Object location hint of its directory'),
  shardLocationHints: z
    .array(z.string().max(16))
    .max(SHARDS_MAX)
    .optional()
    .describe('Hints of single shards, by their number; those beyond have the one of the region'),
  layout: shardLayoutSchema.optional().describe('How its directory is divided; default: one object'),
  colos: z
    .array(z.string().length(3))
    .max(400)
    .default([])
    .describe('Edge locations that ask this directory'),
  continents: z
    .array(z.string().length(2))
    .max(7)
    .default([])
    .describe('Continents whose other edges ask it'),
  rttMs: z
    .record(nameSchema, z.number().nonnegative())
    .default({})
    .describe('Round trip in ms from this region to each cluster, used until the edge has measured its own'),
})
export type RegionConfig = z.infer<typeof regionConfigSchema>

export const tenantConfigSchema = z.strictObject({
  tenant: nameSchema,
  apiKeySha256: z
    .array(z.string().regex(/^[0-9a-f]{64}$/))
    .min(1)
    .max(16),
  policy: policySchema,
})
export type TenantConfig = z.infer<typeof tenantConfigSchema>

export const edgeConfigSchema = z.strictObject({
  homeRegion: nameSchema.describe('Region assumed when the platform does not say where the caller is'),
  regions: z.array(regionConfigSchema).min(1).max(64),
  clusters: z.array(clusterConfigSchema).min(1).max(CLUSTERS_MAX),
  tenants: z.array(tenantConfigSchema).max(10_000),
  lookupTimeoutMs: z
    .int()
    .positive()
    .max(1000)
    .default(15)
    .describe('How long a request waits for its directory'),
  stallFloorMs: z
    .int()
    .positive()
    .default(10_000)
    .describe('Shortest wait for the first byte before the next cluster is tried'),
  stallFactor: z
    .number()
    .min(1)
    .default(4)
    .describe('Multiple of the price before the next cluster is tried'),
  idleProbeMs: z
    .int()
    .positive()
    .default(10_000)
    .describe(
      'After so long a stream asks whether the path to its cluster still works, unless others show it',
    ),
  wholeGraceMs: z
    .int()
    .positive()
    .default(750)
    .describe('How long an answer that comes whole is waited for before its headers go out without it'),
  drainedRegions: z
    .array(nameSchema)
    .max(64)
    .default([])
    .describe('Regions that take no new conversations; those that they know finish there'),
  stayMarginMs: z
    .number()
    .nonnegative()
    .default(50)
    .describe('How much cheaper another cluster must be before a warm conversation moves'),
})
export type EdgeConfig = z.infer<typeof edgeConfigSchema>
/** The document as it is written: fields that have defaults may be missing. */
export type EdgeConfigInput = z.input<typeof edgeConfigSchema>
