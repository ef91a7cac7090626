/** Requests about kept responses as they come in: by envelope, or without one where no edge is needed. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { ENVELOPE_HEADER } from '../protocol/envelope.ts'
import { RouteError } from '../protocol/errors.ts'
import {
  KEPT_METHODS,
  keptPath,
  NO_EVENTS,
  parseEventsAsked,
  type EventsAsked,
  type KeptPath,
} from '../protocol/kept-response.ts'
import type { EnvelopeCheck } from './envelope-check.ts'
import type { KeptResponses } from './kept-responses.ts'
import { readBody } from './request-body.ts'
import { requestIdOf } from './request-id.ts'

/** The edge sends none; a caller without an edge may send an empty object. */
const BODY_BYTES_MAX = 1024
/** How long a caller without an edge waits. */
const PATIENCE_MS = 30_000

export interface KeptEntrance {
  readonly kept: KeptResponses
  readonly check: EnvelopeCheck
  /** Whether a request needs no envelope. One that it has is verified all the same. */
  readonly isOpen: boolean
}

/** Throws what `EnvelopeCheck` and `KeptResponses.answer` throw. */
export async function answerKept(
  { kept, check, isOpen }: KeptEntrance,
  asked: KeptPath,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  const startMs = performance.now()
  const method = KEPT_METHODS[asked.action]
  const path = keptPath(asked)
  if (req.method !== method) {
    res.setHeader('allow', method)
    throw new RouteError('method_not_allowed', `${path} takes ${method}.`)
  }
  const body = await readBody(req, BODY_BYTES_MAX)
  const header = req.headers[ENVELOPE_HEADER]
  const envelope =
    header === undefined && isOpen
      ? null
      : check.verifyKept({ header: String(header ?? ''), method, path, body }, Date.now())
  const { stream, startingAfter } = asked.action === 'cancel' ? NO_EVENTS : (envelope ?? eventsAsked(req))
  const client = new AbortController()
  res.once('close', () => client.abort())
  await kept.answer(
    {
      ...asked,
      stream,
      startingAfter,
      requestId: envelope?.requestId ?? requestIdOf(req),
      patienceMs: envelope ? Math.max(0, envelope.deadlineMs - Date.now()) : PATIENCE_MS,
      startMs,
      signal: client.signal,
    },
    res,
  )
}

function eventsAsked({ url }: IncomingMessage): EventsAsked {
  const query = new URLSearchParams((url ?? '').split('?', 2)[1] ?? '')
  return parseEventsAsked(query.get('stream'), query.get('starting_after'))
}
