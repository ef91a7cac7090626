/**
 * Requests about a response that an engine keeps: `GET /v1/responses/{id}` and `POST /v1/responses/{id}/cancel`, the same
 * paths at the edge, at an agent and at an engine. The edge's envelope travels and is signed as that of envelope.ts, over
 * method, path and an empty body; what a client may ask for in the query travels in it, so a query is never passed on.
 */
import { z } from 'zod'
import { RouteError } from './errors.ts'
import { nameSchema, requestIdSchema } from './ids.ts'

export type KeptAction = 'retrieve' | 'cancel'

export interface KeptPath {
  readonly id: string
  readonly action: KeptAction
}

export const KEPT_METHODS = { retrieve: 'GET', cancel: 'POST' } as const satisfies Record<KeptAction, string>

/** Ids of ours, and those that engines make themselves: nothing in them means anything in a path. */
export const RESPONSE_ID = /^resp_[A-Za-z0-9._-]{1,160}$/
const PATH = /^\/v1\/responses\/(resp_[A-Za-z0-9._-]{1,160})(\/cancel)?$/

export function keptPath({ id, action }: KeptPath): string {
  return `/v1/responses/${id}${action === 'cancel' ? '/cancel' : ''}`
}

/** null for a path of something else. */
export function parseKeptPath(path: string): KeptPath | null {
  const [, id, cancel] = PATH.exec(path) ?? []
  return id === undefined ? null : { id, action: cancel === undefined ? 'retrieve' : 'cancel' }
}

/** What of a response is asked for. */
export interface EventsAsked {
  /** Its events instead of the response. */
  readonly stream: boolean
  /** Of events: the last that the client has; null: none. */
  readonly startingAfter: number | null
}

export const NO_EVENTS: EventsAsked = { stream: false, startingAfter: null }
const BOOLEANS: Readonly<Record<string, boolean>> = { true: true, '1': true, false: false, '0': false }

/** From the values of the query, null: not given. Throws `invalid_request`. */
export function parseEventsAsked(stream: string | null, startingAfter: string | null): EventsAsked {
  const isStream = BOOLEANS[stream ?? 'false']
  if (isStream === undefined) throw invalid('stream', "'stream' must be true or false.")
  if (startingAfter === null) return { stream: isStream, startingAfter: null }
  if (!/^\d{1,15}$/.test(startingAfter))
    throw invalid('starting_after', "'starting_after' must be a whole number.")
  return { stream: isStream, startingAfter: Number(startingAfter) }
}

function invalid(param: string, message: string): RouteError {
  return new RouteError('invalid_request', message, { param })
}

/** The query for an engine, with its question mark; empty for the response itself. */
export function eventsQuery({ stream, startingAfter }: EventsAsked): string {
  if (!stream) return ''
  return `?stream=true${startingAfter === null ? '' : `&starting_after=${startingAfter}`}`
}

export const keptEnvelopeSchema = z.strictObject({
  v: z.literal(2),
  requestId: requestIdSchema,
  /** Which try of this request this is, from 1. */
  attempt: z.int().min(1).max(16),
  /** Whose response it is: the edge has verified the id's signature. */
  tenant: nameSchema,
  /** The cluster that this envelope is for: another one refuses it. */
  cluster: nameSchema,
  /** As in `EventsAsked`. */
  stream: z.boolean(),
  startingAfter: z.int().nonnegative().nullable(),
  /** Milliseconds since the epoch on the edge's clock. */
  issuedMs: z.int().nonnegative(),
  /** 16 random bytes in base64url: the agent takes each at most once. */
  nonce: z.string().regex(/^[A-Za-z0-9_-]{22}$/),
  /** When the caller stops waiting for the first byte, on the edge's clock. */
  deadlineMs: z.int().nonnegative(),
})
export type KeptEnvelope = z.infer<typeof keptEnvelopeSchema>
