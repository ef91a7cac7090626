/**
 * Plan -> answer: one cluster after another until one answers, before the first byte only. What ends it: an answer, a 4xx
 * that every cluster would give, `attemptsMax`, the end of the plan, the deadline, and doubt about what was done with a
 * request that must not be done twice. A stream that is late gets one duplicate at a second warm cluster, where the policy
 * has it; the first to speak wins and the other is cancelled in prefill.
 */
import { RouteError } from '../protocol/errors.ts'
import type { Receipt } from '../protocol/receipt.ts'
import { modelNotFound } from './admit.ts'
import { tryCluster, type Answer, type AttemptOutcome, type Shipment } from './attempt.ts'
import type { ClientLoss } from './client-loss.ts'
import type { Edge } from './env.ts'
import { elsewhereMs } from './plan/elsewhere.ts'
import { patienceMs } from './plan/patience.ts'
import { predictedTtftMs, type PricedCandidate } from './plan/price.ts'
import type { PlanReason } from './plan/plan.ts'

/** How many tokens to expect of an unbounded answer. */
const OUTPUT_TOKENS_EXPECTED = 2048
/** A duplicate sooner than this is sent into the noise of the network. */
const HEDGE_MS_MIN = 50
/** A cluster that holds this share of the prompt is warm enough for a duplicate. */
const HEDGE_SHARE_MIN = 0.5

export interface Delivery extends Answer {
  readonly receipt: Receipt
  /** Ends the call that is answering. */
  readonly cancel: () => void
}

interface Running {
  readonly entry: PricedCandidate
  readonly receipt: Receipt
  readonly call: AbortController
  readonly ending: Promise<{ readonly run: Running; readonly outcome: AttemptOutcome }>
}

/** Throws `RouteError` when nobody answers; rejects with the reason of `clientLoss` once the client has left. */
export async function dispatch(edge: Edge, shipment: Shipment, clientLoss: ClientLoss): Promise<Delivery> {
  const { plan } = shipment.survey
  const { policy, tenant } = shipment.admission
  const untried = plan.entries.slice(0, policy.attemptsMax)
  const { reason } = plan
  const [lead] = untried
  if (!lead || reason === null) throw nobodyMay(shipment)
  const running = new Set<Running>()
  const failures: AttemptOutcome[] = []
  const mayLeaveMs = elsewhereMs(plan, policy.attemptsMax, edge.config.stayMarginMs)
  let attempts = 0
  const begin = (entry: PricedCandidate, why: PlanReason): void => {
    untried.splice(untried.indexOf(entry), 1)
    const leftMs = shipment.deadlineMs - Date.now()
    const isLast = untried.length === 0 || !shipment.isRepeatable
    const waitMs = isLast ? leftMs : Math.min(leftMs, stallMs(edge, shipment, entry))
    const receipt = receiptOf(entry, ++attempts, why)
    shipment.onAttempt(receipt)
    const call = new AbortController()
    const attempt = { entry, number: attempts, waitMs, elsewhereMs: attempts === 1 ? mayLeaveMs : null }
    const trying = tryCluster(edge, shipment, attempt, call)
    const run: Running = { entry, receipt, call, ending: trying.then((outcome) => ({ run, outcome })) }
    running.add(run)
  }
  clientLoss.onLoss(() => {
    for (const { call } of running) call.abort()
  })
  if (policy.hedging) edge.hedgeBudget.earn(tenant, policy.hedging.shareMax)
  begin(lead, reason)
  let hedgeMs = hedgeDelayMs(edge, shipment, lead)
  while (running.size > 0) {
    const ending = firstOf([...running].map(({ ending }) => ending))
    if (hedgeMs !== null) {
      const isLate = !(await shipment.settles(ending, hedgeMs))
      hedgeMs = null
      const second = isLate ? untried.find(isWarm) : undefined
      if (second && clientLoss.reason === null && edge.hedgeBudget.spend(tenant)) {
        edge.counters.count('hedges')
        begin(second, 'hedge')
        continue
      }
    }
    const { run, outcome } = await ending
    running.delete(run)
    if (outcome.kind === 'answer') {
      for (const { call } of running) call.abort()
      const { receipt, call } = run
      clientLoss.onLoss(() => call.abort())
      return { ...outcome, receipt, cancel: () => call.abort() }
    }
    if (clientLoss.reason !== null) throw clientLoss.reason
    failures.push(outcome)
    const isRedirect = outcome.kind === 'overloaded' && outcome.isElsewhere
    if (isRedirect) {
      // Whoever named itself the slower one still answers when the other fails; the bound of attempts holds.
      untried.splice(running.size > 0 ? 0 : 1, 0, run.entry)
      untried.length = Math.min(untried.length, policy.attemptsMax - attempts)
    }
    const [next] = untried
    if (running.size > 0 || !next || !mayGoOn(shipment, outcome)) continue
    if (Date.now() >= shipment.deadlineMs) throw tooLate()
    edge.counters.count(isRedirect ? 'redirects' : 'failovers')
    begin(next, isRedirect ? 'redirect' : 'failover')
  }
  if (Date.now() >= shipment.deadlineMs) throw tooLate()
  throw everybodyFailed(shipment, failures)
}

/** A race, where there is one. */
function firstOf<T>(promises: readonly Promise<T>[]): Promise<T> {
  const [only, ...others] = promises
  return only && others.length === 0 ? only : Promise.race(promises)
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
    reason,
    age_ms: knowledge.state === 'known' ? Math.round(knowledge.ageMs) : -1,
  }
}

function stallMs(edge: Edge, { admission, api }: Shipment, { terms }: PricedCandidate): number {
  const isWhole = api.generates && !admission.stream
  return patienceMs(terms, edge.config, isWhole ? (admission.outputTokensMax ?? OUTPUT_TOKENS_EXPECTED) : 0)
}

/** When a request that is silent is late enough for a duplicate; null when it may have none. */
function hedgeDelayMs(
  edge: Edge,
  { admission, isRepeatable }: Shipment,
  lead: PricedCandidate,
): number | null {
  const { hedging } = admission.policy
  if (!hedging || !isRepeatable || !admission.stream) return null
  return Math.max(HEDGE_MS_MIN, predictedTtftMs(lead.terms) * edge.ttftRatios.quantile(hedging.quantile))
}

function isWarm({ matchedTokens, promptTokens }: PricedCandidate): boolean {
  return matchedTokens >= promptTokens * HEDGE_SHARE_MIN
}

/** A request that must not be done twice goes on only from a cluster that says it has done nothing. */
function mayGoOn({ isRepeatable }: Shipment, outcome: AttemptOutcome): boolean {
  return isRepeatable || outcome.kind === 'overloaded' || (outcome.kind === 'failed' && outcome.isRefusal)
}

function nobodyMay(shipment: Shipment): RouteError {
  const { admission, survey } = shipment
  if (admission.pinnedCluster !== null) return responseUnreachable()
  const reasons = survey.plan.rejected
    .map(({ reason }) => reason)
    .filter((reason) => reason !== 'policy-region' && reason !== 'residency')
  if (reasons.length > 0 && reasons.every((reason) => reason === 'model-not-served')) {
    return modelNotFound(admission.model)
  }
  return new RouteError('no_cluster', 'No cluster can serve this request at the moment.')
}

function everybodyFailed({ admission }: Shipment, failures: readonly AttemptOutcome[]): RouteError {
  const overloads = failures.flatMap((failure) => (failure.kind === 'overloaded' ? [failure] : []))
  if (overloads.length === failures.length) {
    const waits = overloads.flatMap(({ retryAfterMs }) => retryAfterMs ?? [])
    return new RouteError('overloaded', 'Every cluster that may serve this request is overloaded.', {
      retryAfterMs: waits.length > 0 ? Math.min(...waits) : 1000,
    })
  }
  if (admission.pinnedCluster !== null) return responseUnreachable()
  const message = `No cluster answered this request; tried ${failures.length}.`
  const isUnavailable = failures.every(
    (failure) => failure.kind === 'overloaded' || (failure.kind === 'failed' && failure.status === 503),
  )
  return new RouteError(isUnavailable ? 'no_endpoint' : 'upstream_failed', message)
}

function responseUnreachable(): RouteError {
  const message =
    'The cluster that keeps the previous response cannot be reached, or may not be used any more.'
  return new RouteError('response_unreachable', message, { param: 'previous_response_id' })
}

function tooLate(): RouteError {
  return new RouteError('deadline_exceeded', 'No cluster answered within the time that the policy allows.')
}
