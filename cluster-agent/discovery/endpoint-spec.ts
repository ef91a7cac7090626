/** What is said of one endpoint, by the configuration, a file or Kubernetes, before it has a number. */
import { z } from 'zod'
import { nameSchema } from '../../protocol/ids.ts'
import { prefillLawSchema, tierCostSchema } from '../../protocol/report.ts'

export const profileSchema = z.strictObject({
  prefill: prefillLawSchema.describe('Prefill law: fixedMs, msPerToken, msPerTokenPair'),
  decodeStepMs: z.number().positive().describe('One decode step of a single sequence'),
  decodeMsPerSequence: z
    .number()
    .nonnegative()
    .default(0.1)
    .describe('What each further sequence adds to a step'),
  decodeMsPerContextToken: z
    .number()
    .nonnegative()
    .optional()
    .describe('What each token of their contexts adds to a step'),
  batchTokensMax: z
    .int()
    .positive()
    .default(4096)
    .describe('Tokens of one engine step; a longer prefill takes several'),
  kvTokens: z.int().positive().describe('KV space on the GPU, in tokens'),
  tiers: z
    .record(z.string(), tierCostSchema)
    .default({})
    .describe('Cost of loading from a tier, by its name'),
  transfer: tierCostSchema
    .default({ floorMs: 5, bytesPerMs: 20e6 })
    .describe('Pulling KV from another endpoint'),
  peerPull: tierCostSchema
    .optional()
    .describe("Pulling a cached prefix out of a peer's CPU tier; without it these engines cannot"),
  loadsIfCheaper: z
    .boolean()
    .optional()
    .describe(
      "The engine loads a tier only where that beats computing; vLLM's connectors load whatever they hold",
    ),
  adapterLoadMs: z
    .number()
    .nonnegative()
    .optional()
    .describe('Bringing an adapter that is not loaded into a slot; default 200'),
})

export const endpointSchema = z.strictObject({
  endpoint: nameSchema.describe('Name of the endpoint'),
  url: z.url({ protocol: /^https?$/ }).describe('Base URL of the engine'),
  role: z.enum(['prefill', 'decode', 'both']).default('both').describe('What the endpoint is for'),
  version: z.string().max(64).optional().describe('Engine version; legs of a hand-off need the same'),
  revision: z
    .string()
    .min(1)
    .max(64)
    .optional()
    .describe('Rollout that it belongs to; legs of a hand-off need the same'),
  events: z
    .string()
    .startsWith('tcp://')
    .optional()
    .describe('ZMQ endpoint of its KV events; without it the engine dials `eventsBind`, or is asked for it'),
  eventsTopic: z
    .string()
    .max(256)
    .optional()
    .describe('Topic of its KV events at `eventsBind`; default: the one that names its address'),
  replay: z.string().startsWith('tcp://').optional().describe('ZMQ endpoint of the replay of events'),
  rank: z.int().min(0).max(1023).optional().describe('Data-parallel rank behind `url`, if it has several'),
  connector: z.enum(['nixl', 'mooncake']).optional().describe('How it hands KV over; default: nixl'),
  bootstrap: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Bootstrap server of a prefill engine, for mooncake'),
  bootstrapRank: z
    .int()
    .min(0)
    .max(1023)
    .optional()
    .describe('Data-parallel rank under which `bootstrap` knows the engine; default: `rank`, or 0'),
  peerTier: z
    .string()
    .regex(/^\S+:\d{1,5}$/)
    .optional()
    .describe('host:port from which peers may load what its CPU tier holds'),
  profile: profileSchema.describe('Speed and sizes'),
})
export type EndpointConfig = z.infer<typeof endpointSchema>

export interface EndpointSpec extends EndpointConfig {
  /** One life of the engine, when the source knows it (the pod's UID): the next one has an empty cache. */
  readonly incarnation?: string
  /** false: it ends or is not ready. It gets no new requests; those that it has may finish. */
  readonly isServing?: boolean
}
