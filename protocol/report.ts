/**
 * Agent -> directory, over a WebSocket that the agent dials. Control messages are JSON text; residency travels in
 * binary frames (`report-frame.ts`). `docs/PROTOCOL.md` has the states, the events and the invariants.
 */
import { z } from 'zod'
import { MODELS_MAX, modelNameSchema, nameSchema } from './ids.ts'
import { OUTCOMES_MAX, outcomeSchema } from './outcome.ts'

/** Where an agent dials: `${directoryUrl}${REPORT_PATH}/{region}?cluster={cluster}`, bearer token = the cluster's. */
export const REPORT_PATH = '/internal/directory'

/** What one tier costs to load from, measured or configured. */
export const tierCostSchema = z.object({
  floorMs: z.number().nonnegative(),
  bytesPerMs: z.number().positive(),
})
export type TierCost = z.infer<typeof tierCostSchema>

/** The law of one endpoint profile: core/cost-model.ts has the formula. */
export const prefillLawSchema = z.object({
  fixedMs: z.number().nonnegative(),
  msPerToken: z.number().positive(),
  /** Attention: milliseconds for each pair of a new token and a token before it. */
  msPerTokenPair: z.number().nonnegative(),
})
export type PrefillLaw = z.infer<typeof prefillLawSchema>

/** Prices of tokens, by what they cost to make. */
export const pricesSchema = z.object({
  uncachedUsdPerMTokens: z.number().nonnegative(),
  cachedUsdPerMTokens: z.number().nonnegative(),
  outputUsdPerMTokens: z.number().nonnegative(),
})
export type Prices = z.infer<typeof pricesSchema>

/** How full one tier of a model is, and how fast it forgets. */
export const tierStateSchema = z.object({
  /** Blocks on it, once for each endpoint that holds them. */
  blocks: z.int().nonnegative(),
  /** What engines removed to make room, of the last seconds. */
  evictedBlocksPerS: z.number().nonnegative(),
})
export type TierState = z.infer<typeof tierStateSchema>

/** The most tiers that a heartbeat tells apart. */
export const TIERS_REPORTED_MAX = 7

/** What a cluster says of one model that it serves; adapters are models of their own. */
export const modelOfferSchema = z.object({
  model: modelNameSchema,
  /** Canonical prompt bytes for each token, learnt by the agent. */
  bytesPerToken: z.number().positive(),
  kvBytesPerToken: z.number().positive(),
  contextTokensMax: z.int().positive(),
  prefill: prefillLawSchema,
  /** By tier name of core/tiers.ts. */
  tiers: z.record(z.string(), tierCostSchema),
  /** The base model, when this is an adapter. */
  adapterOf: modelNameSchema.optional(),
  /** What the cluster asks for a million tokens, in US dollars. */
  prices: pricesSchema.optional(),
})
export type ModelOffer = z.infer<typeof modelOfferSchema>

/** The most endpoints whose queues a heartbeat tells apart. */
export const ENDPOINTS_REPORTED_MAX = 63

/** The most endpoints for decode whose disturbance a heartbeat tells. */
export const DECODERS_REPORTED_MAX = 4

/** What prefill makes others wait for at an endpoint that decodes: core/cost-model.ts has the formula. */
export const disturbanceSchema = z.object({
  /** Milliseconds that sequences lose there for each millisecond of prefill. */
  stallShare: z.number().nonnegative(),
  /** Sequences that come to decode there each millisecond. */
  comingPerMs: z.number().nonnegative(),
})
export type Disturbance = z.infer<typeof disturbanceSchema>

/** An endpoint for decode, as a place for prefill. */
export const decoderLoadSchema = z.object({
  backlogMs: z.number().nonnegative(),
  ...disturbanceSchema.shape,
})
export type DecoderLoad = z.infer<typeof decoderLoadSchema>

/** Load of one model in one cluster, from the agent's own bookings. */
export const modelLoadSchema = z.object({
  model: modelNameSchema,
  /** The lowest backlog of any endpoint made for prefill, in milliseconds of it. A mean would cost detours. */
  backlogMs: z.number().nonnegative(),
  /** Backlogs of the other endpoints, rising: a burst fills the shortest queues one after another. */
  otherBacklogsMs: z.array(z.number().nonnegative()).max(ENDPOINTS_REPORTED_MAX).optional(),
  /** Endpoints for decode with the lowest backlogs, which prefill for themselves where that is cheaper. */
  decoders: z.array(decoderLoadSchema).max(DECODERS_REPORTED_MAX).optional(),
  /** Pinned and queued share of the KV space of the endpoint with the lowest backlog, 0 to 1. */
  kvPressure: z.number().min(0).max(1),
  /** What handing KV from prefill to decode added to recent requests, on average; 0 while none is split. */
  handoffMs: z.number().nonnegative(),
  /** The same by its bytes, where those that prefill do not decode. */
  handoff: tierCostSchema.optional(),
  /** Endpoints that take requests now. 0 means that the model cannot be served here. */
  endpoints: z.int().nonnegative(),
  bytesPerToken: z.number().positive(),
  /** Measured milliseconds for each token of prefill, and between two tokens of an answer. */
  prefillMsPerToken: z.number().nonnegative().optional(),
  itlMs: z.number().nonnegative().optional(),
  /** KV space of the endpoint with the lowest backlog that nobody has booked, in tokens. */
  kvFreeTokens: z.number().nonnegative().optional(),
  /** By tier name of core/tiers.ts. */
  tiers: z
    .record(z.string(), tierStateSchema)
    .refine((tiers) => Object.keys(tiers).length <= TIERS_REPORTED_MAX)
    .optional(),
})
export type ModelLoad = z.infer<typeof modelLoadSchema>

const streamFields = {
  v: z.int().positive(),
  /** One life of one stream: random, new with each hello. 32 bits. */
  epoch: z.int().min(0).max(0xffffffff),
}

export const helloSchema = z.object({
  type: z.literal('hello'),
  ...streamFields,
  cluster: nameSchema,
  region: nameSchema,
  /** The life of the agent process: milliseconds since the epoch at its start. The newer one wins a cluster. */
  incarnation: z.int().nonnegative(),
  models: z.array(modelOfferSchema).max(MODELS_MAX),
})
export type Hello = z.infer<typeof helloSchema>

export const heartbeatSchema = z.object({
  type: z.literal('heartbeat'),
  ...streamFields,
  /** The sequence number of the last binary frame before this heartbeat, 0 when there was none. */
  seq: z.int().nonnegative(),
  loads: z.array(modelLoadSchema).max(MODELS_MAX),
  /** The agent takes no new conversations: its cluster drains. */
  draining: z.boolean(),
  /** Heartbeats of the epoch, from 1: a late one must not bring an older load back. */
  beat: z.int().positive().optional(),
  /** Round trip of this stream as the agent measured it, in ms. */
  rttMs: z.number().nonnegative().optional(),
})
export type Heartbeat = z.infer<typeof heartbeatSchema>

/** Requests that ended, of edges of the directory's region. Sent again with the same number until acknowledged. */
export const outcomesSchema = z.object({
  type: z.literal('outcomes'),
  ...streamFields,
  batch: z.int().min(0).max(0xffffffff),
  outcomes: z.array(outcomeSchema).min(1).max(OUTCOMES_MAX),
})
export type Outcomes = z.infer<typeof outcomesSchema>

/** The agent leaves for good: nobody should wait for its cluster. The last word of a stream. */
export const quiesceSchema = z.object({ type: z.literal('quiesce'), ...streamFields })
export type Quiesce = z.infer<typeof quiesceSchema>

export const agentMessageSchema = z.discriminatedUnion('type', [
  helloSchema,
  heartbeatSchema,
  outcomesSchema,
  quiesceSchema,
])
export type AgentMessage = z.infer<typeof agentMessageSchema>

/** How often an agent sends each. */
export const HEARTBEAT_INTERVAL_MS = 200
export const DELTA_INTERVAL_MS = 100
/** Every so many heartbeats one is answered. */
export const HEARD_EVERY_BEATS = 5

export const REFUSAL_REASONS = ['wrong-cluster', 'superseded', 'clusters-full', 'malformed', 'flood'] as const

export const RESYNC_REASONS = [
  'unknown-stream',
  'epoch-mismatch',
  'sequence-gap',
  'malformed-frame',
  'unsupported-version',
] as const

export const directoryMessageSchema = z.discriminatedUnion('type', [
  /** The hello is taken: send the snapshot. */
  z.object({
    type: z.literal('welcome'),
    epoch: streamFields.epoch,
    directory: nameSchema,
    /** The version that the directory speaks; absent: 1. */
    v: z.int().positive().optional(),
  }),
  /** A heartbeat was heard: now and then, so that an agent notices a directory that no longer hears it. */
  z.object({ type: z.literal('heard'), epoch: streamFields.epoch, beat: z.int().positive() }),
  /** A snapshot part is applied: send the next. */
  z.object({ type: z.literal('ack'), epoch: streamFields.epoch, seq: z.int().positive() }),
  /** The batch is with the tenants' ledgers, but for the outcomes at `untaken`, which are to come again later. */
  z.object({
    type: z.literal('outcomes-ack'),
    batch: z.int().min(0).max(0xffffffff),
    untaken: z
      .array(
        z
          .int()
          .min(0)
          .max(OUTCOMES_MAX - 1),
      )
      .max(OUTCOMES_MAX)
      .default([]),
  }),
  /** The only remedy: a new hello with a new epoch, then a snapshot. */
  z.object({ type: z.literal('resync'), reason: z.enum(RESYNC_REASONS) }),
  /** The directory will not take this agent; the socket closes after it. */
  z.object({
    type: z.literal('refused'),
    reason: z.enum(REFUSAL_REASONS),
  }),
])
export type DirectoryMessage = z.infer<typeof directoryMessageSchema>
