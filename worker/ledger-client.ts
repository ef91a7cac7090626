/** Asks a tenant's ledger for one request, where the policy has a limit. A ledger that does not answer lets it pass. */
import type { Policy } from '../protocol/edge-config.ts'
import type { RateVerdict } from '../protocol/tenancy.ts'
import type { Edge } from './env.ts'
import { settledWithin } from './settled-within.ts'

const LEDGER_MS_MAX = 500

/** null when there is no limit, or nobody who could say. Never throws. */
export async function takeRequest(edge: Edge, tenant: string, policy: Policy): Promise<RateVerdict | null> {
  if (policy.requestsPerMinute === null) return null
  const taking = ask(edge, tenant, policy.requestsPerMinute)
  const verdict = (await settledWithin(taking, LEDGER_MS_MAX)) ? await taking : null
  if (verdict === null) edge.counters.count('ledgerFailures')
  return verdict
}

async function ask(edge: Edge, tenant: string, requestsPerMinute: number): Promise<RateVerdict | null> {
  try {
    return await edge.ledgerOf(tenant).take(requestsPerMinute)
  } catch {
    return null
  }
}

/** The headers by which OpenAI's clients pace themselves. */
export function rateHeaders(requestsPerMinute: number, verdict: RateVerdict): Record<string, string> {
  return {
    'x-ratelimit-limit-requests': String(requestsPerMinute),
    'x-ratelimit-remaining-requests': String(verdict.remaining),
    'x-ratelimit-reset-requests': `${(verdict.resetMs / 1000).toFixed(3)}s`,
  }
}
