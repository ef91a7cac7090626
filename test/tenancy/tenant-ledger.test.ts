import { evictDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { expect, test } from 'vitest'
import type { TenantLedgerRpc } from '../../protocol/tenancy.ts'

function ledgerOf(tenant: string) {
  return env.TENANT_LEDGER.get(env.TENANT_LEDGER.idFromName(tenant)) as unknown as DurableObjectStub &
    TenantLedgerRpc
}

test('it counts, and each tenant for itself', async () => {
  const [one, other] = [ledgerOf('one'), ledgerOf('other')]
  expect(await one.take(2, 0)).toMatchObject({ allowed: true, remaining: 1 })
  expect(await one.take(2, 0)).toMatchObject({ allowed: true, remaining: 0 })
  expect(await one.take(2, 0)).toMatchObject({ allowed: false, retryAfterMs: 30_000 })
  expect(await other.take(2, 0)).toMatchObject({ allowed: true })
  expect(await one.take(2, 30_000)).toMatchObject({ allowed: true })
})

test('an eviction does not refill it', async () => {
  const ledger = ledgerOf('evicted')
  await ledger.take(1, 0)
  await evictDurableObject(ledger)
  expect(await ledger.take(1, 1000)).toMatchObject({ allowed: false, retryAfterMs: 59_000 })
})
