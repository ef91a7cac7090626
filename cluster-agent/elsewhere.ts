/** A request that another cluster would answer sooner, as far as the edge knows: nothing has begun for it here. */
import type { ServerResponse } from 'node:http'
import { RouteError } from '../protocol/errors.ts'
import { ELSEWHERE_HEADER } from '../protocol/receipt.ts'
import type { GenerateRequest } from './generate-request.ts'
import { predictedMs, type Pair } from './routing/select.ts'

export function isBetterElsewhere(pair: Pair, elsewhereMs: number | null): boolean {
  return elsewhereMs !== null && predictedMs(pair) > elsewhereMs
}

/** Throws `overloaded`, marked by a header, when the best pair takes longer than the edge gave it. */
export function leaveElsewhere({ caller }: GenerateRequest, pair: Pair, res: ServerResponse): void {
  if (!isBetterElsewhere(pair, caller.elsewhereMs)) return
  res.setHeader(ELSEWHERE_HEADER, Math.round(predictedMs(pair)))
  throw new RouteError('overloaded', 'Another cluster is expected to answer sooner.')
}
