/**
 * What the edge tells a cluster agent about a request, beside the untouched body. It travels in one header as
 * `base64url(JSON) + "." + base64url(HMAC-SHA256) + "." + key id`. The HMAC covers `ENVELOPE_CONTEXT`, the method, the
 * path, the SHA-256 of the body in lower-case hexadecimal and the encoded JSON, each ended by a line feed. An agent takes
 * its current and its previous secret, so a rotation changes the agents first and the edge then.
 */
import { z } from 'zod'
import { modelNameSchema, nameSchema, requestIdSchema } from './ids.ts'
import { RESPONSE_ID } from './kept-response.ts'

export const ENVELOPE_HEADER = 'x-isotherm-envelope'
export const ENVELOPE_CONTEXT = 'isotherm-envelope-v1'
/**
 * Which secret signed: the first digits of the HMAC-SHA256 of this context under it. Version 1 sent none, which is taken
 * to be any of the agent's.
 */
export const ENVELOPE_KEY_CONTEXT = 'isotherm-envelope-key-id-v1'
export const KEY_ID_CHARS = 8

/**
 * What edge and agent derive from the prefix secret and the share scope, each as HMAC-SHA256 over the context, a line
 * feed and the scope. Prefix key: the first 8 bytes, low half first, both little-endian. Cache salt: the first 16
 * bytes in hexadecimal, which every vLLM accepts.
 */
export const PREFIX_KEY_CONTEXT = 'isotherm-prefix-key-v1'
export const CACHE_SALT_CONTEXT = 'isotherm-cache-salt-v1'

/** How far the clocks of edge and agent may differ, and how long an envelope is good for. */
export const ENVELOPE_AGE_MS_MAX = 60_000

export const envelopeSchema = z.strictObject({
  /** 1: without the fields that have defaults. A receiver takes both. */
  v: z.union([z.literal(1), z.literal(2)]),
  requestId: requestIdSchema,
  /** Which try of this request this is, from 1. */
  attempt: z.int().min(1).max(16),
  tenant: nameSchema,
  /** Whose prompts may share cache. Prefix keys and the engine's `cache_salt` derive from it. */
  shareScope: z.string().min(1).max(128),
  /** The cluster that this envelope is for: another one refuses it. */
  cluster: nameSchema,
  /** The model or adapter as the engine serves it. */
  model: modelNameSchema,
  stream: z.boolean(),
  /** The most tokens that the answer may have, if the request bounds it. */
  outputTokensMax: z.int().positive().nullable(),
  /** base64url of little-endian u32 triples: offset in bytes, low and high half of the PrefixKey. See core/prefix-markers.ts. */
  markers: z.string().max(4096),
  /** Length of the canonical prompt in bytes. */
  promptBytes: z.int().nonnegative(),
  /** Milliseconds since the epoch on the edge's clock. */
  issuedMs: z.int().nonnegative(),
  /** 16 random bytes in base64url: the agent takes each at most once. */
  nonce: z.string().regex(/^[A-Za-z0-9_-]{22}$/),
  /** When the caller stops waiting, on the edge's clock. */
  deadlineMs: z.int().nonnegative().nullable(),
  /** Region of the edge: the directory that hears of the outcome. null: nobody is told. */
  edgeRegion: nameSchema.nullable().default(null),
  /** Higher goes first where requests wait; 0 is everybody's. */
  priority: z.int().min(-100).max(100).default(0),
  /** The id that an answer of the Responses API gets; null: the engine's own, and not kept. */
  responseId: z.string().regex(RESPONSE_ID).nullable().default(null),
  /** What the tenant's policy asks for, in milliseconds; null: nothing. */
  sloTtftMs: z.int().positive().nullable().default(null),
  sloItlMs: z.int().positive().nullable().default(null),
  /**
   * What an agent may predict, in milliseconds from the request's arrival to the first token, before another cluster is the
   * better choice: beyond it it answers 429 with `ELSEWHERE_HEADER` before anything begins. null: it is to serve.
   */
  elsewhereMs: z.int().nonnegative().nullable().default(null),
})

export type Envelope = z.infer<typeof envelopeSchema>
/** An envelope as it travels: the fields that have defaults may be missing. */
export type EnvelopeInput = z.input<typeof envelopeSchema>
