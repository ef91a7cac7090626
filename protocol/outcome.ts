/**
 * What came true of a request: agent -> directory of the edge's region -> the tenant's ledger and the receipts. It is what
 * settlement, receipts and prediction errors are made from; streams are never scanned for usage at the edge. Delivered
 * at least once and taken once: the ledger knows an outcome by its request id.
 */
import { z } from 'zod'
import { modelNameSchema, nameSchema, requestIdSchema } from './ids.ts'

/** The most outcomes of one message, and those that an agent keeps for a directory that does not acknowledge. */
export const OUTCOMES_MAX = 256
export const OUTCOMES_PENDING_MAX = 16_384

export const OUTCOME_ENDS = [
  /** The engine finished its answer. */
  'complete',
  /** The client left first; what was computed until then is counted. */
  'client-left',
  /** The engine broke off after the first byte. */
  'broken',
  /** No byte went out: this attempt was refused or failed, and the edge may have tried elsewhere. */
  'failed',
] as const

const tokensSchema = z.int().min(0).max(0xffffffff)

export const outcomeSchema = z.object({
  requestId: requestIdSchema,
  /** Which try at the edge this was, from 1. */
  attempt: z.int().min(1).max(16),
  tenant: nameSchema,
  model: modelNameSchema,
  /** Region of the edge that asked: its directory hears of the outcome. */
  edgeRegion: nameSchema,
  cluster: nameSchema,
  end: z.enum(OUTCOME_ENDS),
  /** HTTP status that the agent answered with. */
  status: z.int().min(100).max(599),
  /** From the engine's usage; null when it reported none. `promptTokens` includes the cached ones. */
  promptTokens: tokensSchema.nullable(),
  cachedTokens: tokensSchema.nullable(),
  /** Includes reasoning tokens. Counted from the stream's events when the engine reported no usage. */
  outputTokens: tokensSchema.nullable(),
  /** Tokens that the agent expected to find cached on the endpoint that prefilled. */
  matchedTokens: tokensSchema,
  /** Milliseconds from the request's arrival at the agent to the first byte of the answer; null without one. */
  ttftMs: z.number().nonnegative().nullable(),
  /** The same as the agent predicted it. */
  predictedTtftMs: z.number().nonnegative().nullable(),
  /** Milliseconds from the request's arrival to its end. */
  durationMs: z.number().nonnegative(),
  /** Names of the endpoints, equal when one did both; null when none was chosen. */
  prefillEndpoint: nameSchema.nullable(),
  decodeEndpoint: nameSchema.nullable(),
  /** When it ended, on the agent's clock, in milliseconds since the epoch. */
  endedMs: z.int().nonnegative(),
})
export type Outcome = z.infer<typeof outcomeSchema>

/** Where a directory delivers outcomes: an object's RPC. Rejecting means "not taken": they are delivered again. */
export interface OutcomeSink {
  takeOutcomes(outcomes: readonly Outcome[]): Promise<void>
}
