/** `GET /v1/usage`: what a tenant has used, by day and model, and what is left of its budget. */
import { z } from 'zod'
import { RouteError } from '../protocol/errors.ts'
import { NANO_USD, type UsageAnswer, type UsageRow } from '../protocol/tenancy.ts'
import { flush } from './flush.ts'
import type { RouteContext } from './route.ts'
import { settledWithin } from './settled-within.ts'

const DAY_MS = 86_400_000
const DAYS_SHOWN = 30
const DAYS_MAX = 400
const USAGE_MS_MAX = 5000

const daySchema = z.iso.date()

/** Throws `invalid_request` for days that are none, `tenancy_unavailable` when the ledger does not answer. */
export async function usageResponse({ edge, requestId, tenant }: RouteContext, url: URL): Promise<Response> {
  const to = dayParameter(url, 'to', Date.now())
  const from = dayParameter(url, 'from', Date.parse(to) - (DAYS_SHOWN - 1) * DAY_MS)
  const days = (Date.parse(to) - Date.parse(from)) / DAY_MS + 1
  if (days < 1 || days > DAYS_MAX) {
    throw new RouteError('invalid_request', `'from' to 'to' is 1 to ${DAYS_MAX} days.`, { param: 'from' })
  }
  await flush(edge)
  const asking = edge.ledgerOf(tenant.tenant).usage(from, to)
  const answer = (await settledWithin(asking, USAGE_MS_MAX)) ? await asking.catch(() => null) : null
  if (answer === null) throw new RouteError('tenancy_unavailable', 'The ledger does not answer.')
  const { budget } = tenant.policy
  const body = {
    object: 'usage',
    from,
    to,
    data: answer.rows.map(shown),
    total: shown(answer.rows.reduce(sum, NOTHING)),
    requestsUnderWay: answer.requestsUnderWay,
    budget: budget && { ...budget, ...balanceOf(answer) },
  }
  return Response.json(body, { headers: { 'x-request-id': requestId, 'cache-control': 'no-store' } })
}

const NOTHING: UsageRow = {
  day: '',
  model: '',
  requests: 0,
  uncachedTokens: 0,
  cachedTokens: 0,
  outputTokens: 0,
  nanoUsd: 0,
  lostRequests: 0,
}

function sum(a: UsageRow, b: UsageRow): UsageRow {
  return {
    ...a,
    requests: a.requests + b.requests,
    uncachedTokens: a.uncachedTokens + b.uncachedTokens,
    cachedTokens: a.cachedTokens + b.cachedTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    nanoUsd: a.nanoUsd + b.nanoUsd,
    lostRequests: a.lostRequests + b.lostRequests,
  }
}

function shown({ day, model, nanoUsd, ...counts }: UsageRow): object {
  return { ...(day === '' ? {} : { day, model }), ...counts, costUsd: nanoUsd / NANO_USD }
}

function balanceOf({ budget }: UsageAnswer): object {
  return {
    currentPeriod: budget.period,
    spentUsd: budget.spentNanoUsd / NANO_USD,
    heldUsd: budget.heldNanoUsd / NANO_USD,
  }
}

function dayParameter(url: URL, name: string, otherwiseMs: number): string {
  const given = url.searchParams.get(name)
  if (given === null) return new Date(otherwiseMs).toISOString().slice(0, 10)
  const day = daySchema.safeParse(given)
  if (!day.success)
    throw new RouteError('invalid_request', `'${name}' is a day like 2026-11-25.`, { param: name })
  return day.data
}
