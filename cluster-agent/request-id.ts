/** The id of a request that came without an envelope: the caller's own, or a new one. */
import type { IncomingMessage } from 'node:http'
import { requestIdSchema } from '../protocol/ids.ts'
import { REQUEST_ID_HEADER } from '../protocol/receipt.ts'

export function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers[REQUEST_ID_HEADER]
  const parsed = given === undefined ? null : requestIdSchema.safeParse(given)
  return parsed?.success ? parsed.data : crypto.randomUUID()
}
