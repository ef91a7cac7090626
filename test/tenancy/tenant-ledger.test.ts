import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { expect, test } from 'vitest'
import type { LeaseAnswer, LedgerReport, LedgerTerms, TenantLedgerRpc } from '../../protocol/tenancy.ts'
import { LEASE_HOLD_MS, SETTLE_MS_MAX } from '../../tenancy/limits/holdings.ts'
import type { TenantLedger } from '../../tenancy/tenant-ledger.ts'
import { MODEL, NANO_USD_PER_TOKEN, outcome, terms } from './ledger-world.ts'

const NEED = { requests: 1, tokens: 1000, nanoUsd: 1000 * NANO_USD_PER_TOKEN }
const NOTHING = { admitted: [], ended: [], released: [], returned: [] }
const BUDGET = terms({ budget: { nanoUsd: 3 * NEED.nanoUsd, period: 'month' } })

function ledgerOf(tenant: string) {
  return env.TENANT_LEDGER.get(
    env.TENANT_LEDGER.idFromName(tenant),
  ) as unknown as DurableObjectStub<TenantLedger> & TenantLedgerRpc
}

function ask(ledger: TenantLedgerRpc, limited: LedgerTerms, report: Partial<LedgerReport> = {}) {
  return ledger.lease({ terms: limited, ...NOTHING, ...report, need: NEED, wantRequests: 1 })
}

function setClock(ledger: DurableObjectStub<TenantLedger>, nowMs: number) {
  return runInDurableObject(ledger, (object) => {
    object.nowMs = () => nowMs
  })
}

function leaseId(answer: LeaseAnswer): string {
  if (answer.kind !== 'granted') throw new Error('refused')
  return answer.lease.lease
}

const today = () => new Date().toISOString().slice(0, 10)

test('it counts, and each tenant for itself', async () => {
  const [one, other] = [ledgerOf('one'), ledgerOf('other')]
  const limited = terms({ requestsPerMinute: 2 })
  expect(await ask(one, limited)).toMatchObject({
    kind: 'granted',
    limits: { requests: { limit: 2, remaining: 1 } },
  })
  expect(await ask(one, limited)).toMatchObject({ kind: 'granted' })
  expect(await ask(one, limited)).toMatchObject({ kind: 'refused', limit: 'requests' })
  expect(await ask(other, limited)).toMatchObject({ kind: 'granted' })
})

test('an eviction forgets nothing: buckets, leases, requests under way, settlements, usage', async () => {
  const ledger = ledgerOf('evicted')
  const limited = { ...BUDGET, requestsPerMinute: 3 }
  const first = leaseId(await ask(ledger, limited))
  const admitted = ['a', 'b'].map((requestId) => ({
    requestId,
    lease: first,
    model: MODEL,
    tokens: 1000,
    nanoUsd: requestId === 'a' ? NEED.nanoUsd : 0,
  }))
  await ledger.report({ terms: limited, ...NOTHING, admitted })
  const settled = outcome('b', {
    tenant: 'evicted',
    promptTokens: 1000,
    cachedTokens: 1000,
    endedMs: Date.now(),
  })
  await ledger.takeOutcomes([settled])
  await ask(ledger, limited)
  await evictDurableObject(ledger)

  const after = await ledger.usage(today(), today())
  expect(after).toMatchObject({
    rows: [{ day: today(), model: MODEL, requests: 1, cachedTokens: 1000, nanoUsd: 100_000 }],
    budget: { spentNanoUsd: 100_000, heldNanoUsd: 2 * NEED.nanoUsd },
    requestsUnderWay: 1,
  })
  // Three were leased by the minute's limit, of which two are held and one is spent.
  await ledger.takeOutcomes([settled])
  expect(await ledger.usage(today(), today())).toEqual(after)
  expect(await ask(ledger, limited)).toMatchObject({ kind: 'refused', limit: 'budget' })
  await ledger.takeOutcomes([outcome('a', { tenant: 'evicted', endedMs: Date.now() })])
  await evictDurableObject(ledger)
  expect(await ask(ledger, limited)).toMatchObject({ kind: 'granted' })
  expect(await ask(ledger, limited)).toMatchObject({ kind: 'refused', limit: 'requests' })
})

test('an alarm finds what nobody tells of: leases of dead isolates, lost outcomes', async () => {
  const ledger = ledgerOf('alarmed')
  const admitted = [{ requestId: 'lost', lease: null, model: MODEL, tokens: 1, nanoUsd: NEED.nanoUsd }]
  await ask(ledger, BUDGET, { admitted })
  await ask(ledger, BUDGET)
  expect(await ask(ledger, BUDGET)).toMatchObject({ kind: 'refused', limit: 'budget' })

  await setClock(ledger, Date.now() + 5001 + LEASE_HOLD_MS)
  expect(await runDurableObjectAlarm(ledger)).toBe(true)
  expect((await ledger.usage(today(), today())).budget.heldNanoUsd).toBe(NEED.nanoUsd)

  const lateMs = Date.now() + SETTLE_MS_MAX + 1
  await setClock(ledger, lateMs)
  expect(await runDurableObjectAlarm(ledger)).toBe(true)
  const day = new Date(lateMs).toISOString().slice(0, 10)
  expect(await ledger.usage(day, day)).toMatchObject({
    rows: [{ requests: 0, lostRequests: 1 }],
    budget: { heldNanoUsd: 0 },
    requestsUnderWay: 0,
  })
  // Nothing is left to wait for, also after an eviction.
  await evictDurableObject(ledger)
  expect((await ledger.usage(day, day)).requestsUnderWay).toBe(0)
})

test("another tenant's outcomes are not taken", async () => {
  const ledger = ledgerOf('honest')
  await ledger.takeOutcomes([outcome('x', { tenant: 'someone-else', promptTokens: 9, endedMs: Date.now() })])
  expect((await ledger.usage('2000-01-01', '2999-12-31')).rows).toEqual([])
})

test('what it stores of settled requests and of usage is bounded', async () => {
  const ledger = ledgerOf('bounded')
  await ledger.takeOutcomes([outcome('old', { tenant: 'bounded', promptTokens: 9, endedMs: Date.now() })])
  await ask(ledger, BUDGET)
  await setClock(ledger, Date.now() + 401 * 86_400_000)
  await runDurableObjectAlarm(ledger)
  const rows = await runInDurableObject(ledger, (_, state) => [
    ...state.storage.sql.exec(
      'SELECT (SELECT COUNT(*) FROM settled) AS settled, (SELECT COUNT(*) FROM usage) AS usage',
    ),
  ])
  expect(rows).toEqual([{ settled: 0, usage: 0 }])
})
