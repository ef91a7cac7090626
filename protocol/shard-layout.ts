/** How a region's directory is divided among objects: configured at the edge, told to agents when they ask. */
import { z } from 'zod'
import { MODELS_MAX, modelNameSchema } from './ids.ts'

/** The most shards of one region: 64 times 1.8 million entries. */
export const SHARDS_MAX = 64

export const shardLayoutSchema = z.object({
  shards: z.int().min(1).max(SHARDS_MAX).default(1).describe('Objects that share the prompts of the region'),
  markerBytes: z
    .record(modelNameSchema, z.int().nonnegative().max(1_048_576))
    .refine((models) => Object.keys(models).length <= MODELS_MAX)
    .default({})
    .describe(
      'By model: the depth in canonical bytes whose marker chooses the shard; default 0, the first marker',
    ),
})
export type ShardLayout = z.infer<typeof shardLayoutSchema>

export const SINGLE_SHARD: ShardLayout = { shards: 1, markerBytes: {} }

/** The tag of a layout, as core/shards.ts makes it. */
export const layoutTagSchema = z.string().regex(/^s([1-9]|[1-5]\d|6[0-4])(-[0-9a-f]{8})?$/)
