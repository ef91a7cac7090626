/**
 * Sets a request's part of its tenant's limits aside before it goes out. An isolate holds a lease, so most requests ask
 * nobody; the ledger is asked once a lease, by one request for all that wait.
 */
import { costNanoUsd, priceOf } from '../core/request-cost.ts'
import { RouteError } from '../protocol/errors.ts'
import type { Policy } from '../protocol/policy.ts'
import {
  NANO_USD,
  type ActiveTenant,
  type Amount,
  type LedgerTerms,
  type LimitName,
} from '../protocol/tenancy.ts'
import type { Edge } from './env.ts'
import type { Refusal, TenantLimits } from './memory/tenant-limits.ts'
import { settledWithin } from './settled-within.ts'

export const LEDGER_MS_MAX = 500
/** How often a request joins or leads an asking before it gives up. */
const ROUNDS_MAX = 3
/** How long a ledger that did not answer is not asked again. */
const OUTAGE_MS = 1000
/** Bytes of a prompt for one token, for limits of tokens; settlement puts the difference back. */
const BYTES_PER_TOKEN = 4
/** Tokens of an answer that its request does not bound. */
const OUTPUT_TOKENS_ASSUMED = 4096
/** What a chat template may add to the bytes of a prompt. */
const TEMPLATE_TOKENS = 512

/** What a request says about its size. */
export interface RequestSize {
  readonly requestId: string
  readonly model: string
  /** Canonical bytes of the prompt. */
  readonly promptBytes: number
  /** null: the request does not say. */
  readonly outputTokensMax: number | null
  /** How many answers it asks for. */
  readonly answers: number
}

export interface Reservation {
  /** The answer is over. */
  end(): void
  /** No cluster took the request: nothing is owed. */
  release(): void
}

const NOTHING: Reservation = { end: () => undefined, release: () => undefined }

/**
 * Throws `rate_limit_exceeded`, `insufficient_quota` or `tenancy_unavailable`. Puts `x-ratelimit-*` into `headers`, which
 * the answer carries, whatever it is.
 */
export async function reserve(
  edge: Edge,
  tenant: ActiveTenant,
  size: RequestSize,
  headers: Record<string, string>,
): Promise<Reservation> {
  const { policy } = tenant
  const limits = edge.accounts.limitsOf(tenant)
  if (!hasLimits(policy)) return NOTHING
  const need = amountOf(policy, size)
  try {
    // Most find room in the lease and wait for nobody.
    const isLeased =
      limits.take(size.requestId, size.model, need, Date.now()) ||
      (await takeLeased(edge, tenant, limits, size, need))
    if (!isLeased) passInOutage(edge, tenant, limits, size, need)
  } finally {
    limits.putHeaders(headers, Date.now())
  }
  return { end: () => limits.end(size.requestId), release: () => limits.release(size.requestId) }
}

/** Of a lease that is asked for first; false when nobody says whether the request may pass. */
async function takeLeased(
  edge: Edge,
  tenant: ActiveTenant,
  limits: TenantLimits,
  { requestId, model }: RequestSize,
  need: Amount,
): Promise<boolean> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const nowMs = Date.now()
    if (limits.take(requestId, model, need, nowMs)) return true
    const refusal = limits.refusal(nowMs)
    if (refusal) throw refused(tenant.policy, refusal)
    if (edge.accounts.isOut(tenant.tenant, nowMs)) return false
    const place = edge.accounts.flights.join(tenant.tenant, nowMs)
    if (!place.isLeader) {
      await settledWithin(place.landed, LEDGER_MS_MAX)
      continue
    }
    try {
      if (!(await askForLease(edge, tenant, limits, need))) return false
    } finally {
      place.land()
    }
  }
  return false
}

async function askForLease(
  edge: Edge,
  tenant: ActiveTenant,
  limits: TenantLimits,
  need: Amount,
): Promise<boolean> {
  const askedMs = Date.now()
  const report = limits.takeReport(termsOf(tenant.policy), true, askedMs)
  const asking = edge
    .ledgerOf(tenant.tenant)
    .lease({ ...report, need, wantRequests: limits.wantRequests })
    .catch(() => null)
  const answer = (await settledWithin(asking, LEDGER_MS_MAX)) ? await asking : null
  if (answer === null) {
    limits.putBack(report)
    edge.counters.count('ledgerFailures')
    edge.accounts.noteOutage(tenant.tenant, Date.now() + OUTAGE_MS)
    return false
  }
  limits.accept(answer, askedMs)
  return true
}

/** As the policy says: refused, or counted by this isolate alone at the policy's own rate. */
function passInOutage(
  edge: Edge,
  { tenant, policy }: ActiveTenant,
  limits: TenantLimits,
  size: RequestSize,
  need: Amount,
): void {
  if (policy.onOutage === 'closed') {
    throw new RouteError('tenancy_unavailable', 'Limits cannot be checked at the moment.', {
      retryAfterMs: OUTAGE_MS,
    })
  }
  const waitMs = edge.accounts.passInOutage(tenant, policy.requestsPerMinute, Date.now())
  if (waitMs > 0) throw refused(policy, { limit: 'requests', retryAfterMs: waitMs })
  limits.passUnleased(size.requestId, size.model, need)
}

export function hasLimits(policy: Policy): boolean {
  const { requestsPerMinute, tokensPerMinute, concurrentMax, budget } = policy
  return requestsPerMinute !== null || tokensPerMinute !== null || concurrentMax !== null || budget !== null
}

export function termsOf({
  requestsPerMinute,
  tokensPerMinute,
  concurrentMax,
  budget,
  prices,
}: Policy): LedgerTerms {
  return {
    requestsPerMinute,
    tokensPerMinute,
    concurrentMax,
    budget: budget && { nanoUsd: Math.round(budget.usd * NANO_USD), period: budget.period },
    prices,
  }
}

/**
 * Tokens are estimated; money is the most that the request can cost: a token is at least a byte, and nothing of it is
 * cached. What can cost more: answers without a bound, and images, whose bytes are not in the prompt's.
 */
export function amountOf(policy: Policy, size: RequestSize): Amount {
  const outputTokens = (size.outputTokensMax ?? OUTPUT_TOKENS_ASSUMED) * size.answers
  const price = priceOf(policy.prices, size.model)
  const uncachedTokens = size.promptBytes + TEMPLATE_TOKENS
  return {
    requests: 1,
    tokens: Math.ceil(size.promptBytes / BYTES_PER_TOKEN) + outputTokens,
    nanoUsd:
      policy.budget === null ? 0 : costNanoUsd(price, { uncachedTokens, cachedTokens: 0, outputTokens }),
  }
}

function refused(policy: Policy, { limit, retryAfterMs }: Refusal): RouteError {
  const messages: Record<LimitName, string> = {
    requests: `Rate limit reached: ${policy.requestsPerMinute} requests per minute.`,
    tokens: `Rate limit reached: ${policy.tokensPerMinute} tokens per minute.`,
    concurrency: `Rate limit reached: ${policy.concurrentMax} requests at once.`,
    budget: `The budget of this ${policy.budget?.period} is spent or set aside for requests under way.`,
  }
  const code = limit === 'budget' ? 'insufficient_quota' : 'rate_limit_exceeded'
  return new RouteError(code, messages[limit], { retryAfterMs })
}
