/**
 * What one simulated engine can do and how long it takes, in unscaled milliseconds. The defaults are Qwen3-32B on two
 * H100 with tensor parallelism (published capacity and prefill rate). `EngineCore` divides every duration by `speed`.
 */
import { z } from 'zod'
import { prefillLawSchema } from '../../protocol/report.ts'

const decodeLawSchema = z.object({
  stepMs: z
    .number()
    .nonnegative()
    .describe('One decode step without any sequence: the pass over the weights'),
  msPerSequence: z.number().nonnegative(),
  msPerContextToken: z.number().nonnegative(),
})

/** Speed and sizes of an engine; every field has a default. */
export const engineProfileSchema = z.object({
  prefill: prefillLawSchema.default({ fixedMs: 30, msPerToken: 1 / 15.928, msPerTokenPair: 2.0e-6 }),
  decode: decodeLawSchema.default({ stepMs: 13, msPerSequence: 0.1, msPerContextToken: 5.6e-5 }),
  blockTokens: z.int().min(1).max(1024).default(16),
  kvTokens: z.int().positive().max(100_000_000).default(307_328).describe('Usable KV space on the GPU'),
  cpuKvTokens: z
    .int()
    .nonnegative()
    .max(1_000_000_000)
    .default(2_458_624)
    .describe('DRAM tier; 0 means none'),
  cpuBytesPerMs: z.number().positive().default(50e6),
  lowerTiers: z
    .array(
      z.strictObject({
        name: z.enum(['disk', 'remote']),
        kvTokens: z.int().positive().max(1_000_000_000),
        floorMs: z.number().nonnegative(),
        bytesPerMs: z.number().positive(),
      }),
    )
    .max(2)
    .default([])
    .describe('Tiers behind DRAM, in virtual time only: real wires have no events for them'),
  kvBytesPerToken: z.number().positive().default(262_144),
  batchTokensMax: z
    .int()
    .positive()
    .default(4096)
    .describe('Tokens of one step: longer prompts go in chunks'),
  sequencesMax: z.int().positive().max(4096).default(256),
  contextTokensMax: z.int().positive().default(131_072),
  transfer: z
    .object({ floorMs: z.number().nonnegative(), bytesPerMs: z.number().positive() })
    .default({ floorMs: 2, bytesPerMs: 40e6 })
    .describe('Pulling KV from another engine'),
  pullsFromPeers: z
    .boolean()
    .default(false)
    .describe("Engines pull cached prefixes out of each other's DRAM, in virtual time only"),
})
export type EngineProfile = z.infer<typeof engineProfileSchema>

/** Qwen3-32B on two H100. */
export const DEFAULT_PROFILE: EngineProfile = engineProfileSchema.parse({})

/** Blocks that requests can use; block 0 is the null block and comes on top. */
export function usableBlocks(profile: EngineProfile): number {
  return Math.floor(profile.kvTokens / profile.blockTokens)
}

/** No request may be longer than the whole KV space: it could never be admitted. */
export function contextTokensMax(profile: EngineProfile): number {
  return Math.min(profile.contextTokensMax, usableBlocks(profile) * profile.blockTokens)
}
