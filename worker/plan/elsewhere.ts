/**
 * Until when a request stays where it was sent. An edge knows each cluster's deepest prefix and shortest queue as of a moment
 * ago; the agent knows which endpoint has both now. It is told what it may predict before the plan's next cluster is the
 * better choice, and says so before it begins (docs/decisions/009-second-thoughts.md).
 *
 *     elsewhere = 1.1 * (predicted(lead) - rtt / 2 + max(price(next) - price(lead), 0)) + margin
 *
 * from the arrival at the agent on: the half of the round trip that is left is the way back.
 */
import type { Plan, PlanReason } from './plan.ts'
import { predictedTtftMs } from './price.ts'

/** The cluster that was left, the next one, and the first again if that one fails. */
const ATTEMPTS_MIN = 3
/** Both sides predict a little wrong. */
const DOUBT = 1.1
/** What sent the request there was its price. */
const BY_PRICE: ReadonlySet<PlanReason> = new Set(['warm', 'least-wait', 'nearest', 'stay'])

/** Whole milliseconds that the lead's agent may predict; null: it is to serve whatever it predicts. */
export function elsewhereMs(
  { entries, reason }: Pick<Plan, 'entries' | 'reason'>,
  attemptsMax: number,
  marginMs: number,
): number | null {
  const [lead, next] = entries
  if (!lead || !next || reason === null || !BY_PRICE.has(reason) || attemptsMax < ATTEMPTS_MIN) return null
  const slackMs = Math.max(next.terms.totalMs - lead.terms.totalMs, 0)
  return Math.round(DOUBT * (predictedTtftMs(lead.terms) - lead.terms.rttMs / 2 + slackMs) + marginMs)
}
