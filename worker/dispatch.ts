/**
 * Plan -> answer: one cluster after another until one answers, before the first byte only. What ends it: an answer, a 4xx
 * that every cluster would give, `attemptsMax`, the end of the plan, the deadline.
 */
import { RouteError } from '../protocol/errors.ts'
import type { Receipt } from '../protocol/receipt.ts'
import { modelNotFound } from './admit.ts'
import { tryCluster, type AttemptOutcome, type Shipment } from './attempt.ts'
import type { Edge } from './env.ts'
import { predictedTtftMs, type PricedCandidate } from './plan/price.ts'
import type { PlanReason } from './plan/plan.ts'

/** What one token of an answer may take when the answer comes whole, and how many to expect of an unbounded one. */
const OUTPUT_TOKEN_MS = 50
const OUTPUT_TOKENS_EXPECTED = 2048

export interface Delivery {
  readonly response: Response
  readonly receipt: Receipt
}

/** Throws `RouteError` when nobody answers; rejects with the signal's reason when `clientLost` aborts. */
export async function dispatch(edge: Edge, shipment: Shipment, clientLost: AbortSignal): Promise<Delivery> {
  const { plan } = shipment.survey
  const { attemptsMax } = shipment.admission.policy
  const entries = plan.entries.slice(0, attemptsMax)
  if (entries.length === 0 || plan.reason === null) throw nobodyMay(shipment)
  const failures: AttemptOutcome[] = []
  for (const [index, entry] of entries.entries()) {
    if (index > 0) edge.counters.count('failovers')
    const leftMs = shipment.deadlineMs - Date.now()
    if (leftMs <= 0) throw tooLate()
    const isLast = index === entries.length - 1
    const waitMs = isLast ? leftMs : Math.min(leftMs, stallMs(edge, shipment, entry))
    const receipt = receiptOf(entry, index + 1, plan.reason)
    shipment.onAttempt(receipt)
    const outcome = await tryCluster(edge, shipment, entry, index + 1, waitMs, clientLost)
    if (outcome.kind === 'answer') {
      return { response: outcome.response, receipt }
    }
    failures.push(outcome)
  }
  if (Date.now() >= shipment.deadlineMs) throw tooLate()
  throw everybodyFailed(failures)
}

/** The receipt of the plan's first entry, for an answer that begins before its cluster has spoken. */
export function expectedReceipt({ survey }: Shipment): Receipt | null {
  const [entry] = survey.plan.entries
  return entry && survey.plan.reason ? receiptOf(entry, 1, survey.plan.reason) : null
}

function receiptOf(entry: PricedCandidate, attempt: number, reason: PlanReason): Receipt {
  const { config, knowledge } = entry.candidate
  return {
    cluster: config.cluster,
    region: config.region,
    matched_tokens: entry.matchedTokens,
    prompt_tokens: entry.promptTokens,
    tier: entry.tier,
    predicted_ttft_ms: Math.round(predictedTtftMs(entry.terms)),
    attempt,
    reason: attempt === 1 ? reason : 'failover',
    age_ms: knowledge.state === 'known' ? Math.round(knowledge.ageMs) : -1,
  }
}

/** How long a cluster may be silent before the next is tried. Headers of an answer that comes whole follow its last token. */
function stallMs(edge: Edge, { admission }: Shipment, entry: PricedCandidate): number {
  const { stallFloorMs, stallFactor } = edge.config
  const outputTokens = admission.stream ? 0 : (admission.outputTokensMax ?? OUTPUT_TOKENS_EXPECTED)
  return Math.max(stallFloorMs, stallFactor * predictedTtftMs(entry.terms)) + outputTokens * OUTPUT_TOKEN_MS
}

function nobodyMay({ survey, admission }: Shipment): RouteError {
  const reasons = survey.plan.rejected
    .map(({ reason }) => reason)
    .filter((reason) => reason !== 'policy-region')
  if (reasons.length > 0 && reasons.every((reason) => reason === 'model-not-served')) {
    return modelNotFound(admission.model)
  }
  return new RouteError('no_cluster', 'No cluster can serve this request at the moment.')
}

function everybodyFailed(failures: readonly AttemptOutcome[]): RouteError {
  const overloads = failures.flatMap((failure) => (failure.kind === 'overloaded' ? [failure] : []))
  if (overloads.length === failures.length) {
    const waits = overloads.flatMap(({ retryAfterMs }) => retryAfterMs ?? [])
    return new RouteError('overloaded', 'Every cluster that may serve this request is overloaded.', {
      retryAfterMs: waits.length > 0 ? Math.min(...waits) : 1000,
    })
  }
  const message = `No cluster answered this request; tried ${failures.length}.`
  const isUnavailable = failures.every((failure) => failure.kind !== 'failed' || failure.status === 503)
  return new RouteError(isUnavailable ? 'no_endpoint' : 'upstream_failed', message)
}

function tooLate(): RouteError {
  return new RouteError('deadline_exceeded', 'No cluster answered within the time that the policy allows.')
}
