import { evictDurableObject, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import {
  KEYS_MAX,
  VERSIONS_MAX,
  type Change,
  type Edit,
  type KeyAnswer,
  type PolicyStoreRpc,
} from '../../protocol/policy-store.ts'
import { policySchema, type PolicyInput } from '../../protocol/policy.ts'
import { COPY_MS_MAX, type PolicyCopy } from '../../tenancy/policy-copy.ts'
import type { PolicyStore } from '../../tenancy/policy-store.ts'

vi.setConfig({ testTimeout: 30_000 })

let shards = 0
let shard: string
let store: DurableObjectStub<PolicyStore> & PolicyStoreRpc

beforeEach(() => {
  shard = `policies-of-test-${shards++}`
  store = env.POLICY_STORE.get(env.POLICY_STORE.idFromName(shard)) as unknown as typeof store
})

function policy(change: Partial<PolicyInput> = {}) {
  return policySchema.parse({ regions: ['us-east'], ...change })
}

function edit(tenant: string, ifRevision: number | null = null): Edit {
  return { actor: 'ann', tenant, ifRevision }
}

function key(name: string, expiresMs: number | null = null) {
  return { keyId: name, digest: `digest-${name}`, label: 'for tests', expiresMs }
}

function value<T>(change: Change<T>): T {
  if (!change.ok) throw new Error(`${change.code}: ${change.message}`)
  return change.value
}

async function ask(name: string, revision: number | null = null): Promise<KeyAnswer | undefined> {
  return (await store.resolve([{ digest: `digest-${name}`, revision }], 0)).answers[0]
}

describe('keys', () => {
  test('a key finds its tenant and policy, and only what changed is told again', async () => {
    value(await store.createTenant(edit('acme'), policy(), 'first'))
    value(await store.addKey(edit('acme'), key('a')))
    const answer = await ask('a')
    expect(answer).toMatchObject({
      kind: 'tenant',
      tenant: 'acme',
      keyId: 'a',
      live: { version: 1 },
      shadow: null,
    })
    const revision = answer?.kind === 'tenant' ? answer.revision : null
    expect(await ask('a', revision)).toEqual({ kind: 'same' })
    value(await store.addPolicy(edit('acme'), policy(), ''))
    expect(await ask('a', revision)).toMatchObject({ kind: 'tenant', live: { version: 1 } })
    expect(await ask('b')).toEqual({ kind: 'unknown' })
  })

  test('no key is stored, not even in the audit log', async () => {
    value(await store.createTenant(edit('acme'), policy(), ''))
    value(await store.addKey(edit('acme'), key('a')))
    expect(Object.keys((await store.keys('acme'))[0]!).sort()).toEqual([
      'createdMs',
      'expiresMs',
      'keyId',
      'label',
      'revokedMs',
    ])
    expect(JSON.stringify(await store.audit(null, null, 100))).not.toContain('digest')
  })

  test('a rotation overlaps, never beyond what the old key had', async () => {
    value(await store.createTenant(edit('acme'), policy(), ''))
    value(await store.addKey(edit('acme'), key('old')))
    const nowMs = Date.now()
    value(await store.addKey(edit('acme'), key('short', nowMs + 5000)))
    value(await store.rotateKey(edit('acme'), 'old', key('new'), 60_000))
    value(await store.rotateKey(edit('acme'), 'short', key('newer'), 60_000))
    const keys = new Map((await store.keys('acme')).map((view) => [view.keyId, view]))
    expect(keys.get('old')!.expiresMs).toBeGreaterThanOrEqual(nowMs + 60_000)
    expect(keys.get('short')!.expiresMs).toBe(nowMs + 5000)
    expect(keys.get('new')).toMatchObject({ expiresMs: null, revokedMs: null })
    expect(await ask('new')).toMatchObject({ kind: 'tenant' })
    expect(await ask('old')).toMatchObject({ kind: 'tenant', expiresMs: keys.get('old')!.expiresMs })
  })

  test('a revoked key is nobody’s, for good', async () => {
    value(await store.createTenant(edit('acme'), policy(), ''))
    value(await store.addKey(edit('acme'), key('a')))
    const first = value(await store.revokeKey(edit('acme'), 'a'))
    expect(await ask('a')).toEqual({ kind: 'unknown' })
    expect(value(await store.revokeKey(edit('acme'), 'a')).revokedMs).toBe(first.revokedMs)
    expect(await store.rotateKey(edit('acme'), 'a', key('b'), 0)).toMatchObject({
      ok: false,
      code: 'not_found',
    })
    await evictDurableObject(store)
    expect(await ask('a')).toEqual({ kind: 'unknown' })
  })

  test('they are bounded; those long dead make room', async () => {
    value(await store.createTenant(edit('acme'), policy(), ''))
    for (let i = 0; i < KEYS_MAX; i++)
      value(await store.addKey(edit('acme'), key(`k${i}`, i === 0 ? 1 : null)))
    // The first of them ended in 1970.
    value(await store.addKey(edit('acme'), key('one-more')))
    expect(await store.addKey(edit('acme'), key('too-many'))).toMatchObject({ ok: false, code: 'conflict' })
  })
})

describe('policies', () => {
  test('versions are activated, rolled back and shadowed, and each change is written down', async () => {
    value(await store.createTenant(edit('acme'), policy(), ''))
    value(await store.addKey(edit('acme'), key('a')))
    expect(value(await store.addPolicy(edit('acme'), policy({ priority: 5 }), 'faster'))).toMatchObject({
      version: 2,
      createdBy: 'ann',
      note: 'faster',
    })
    expect(value(await store.shadow(edit('acme'), 2))).toMatchObject({ liveVersion: 1, shadowVersion: 2 })
    expect(await ask('a')).toMatchObject({ shadow: { version: 2, policy: { priority: 5 } } })
    // What becomes live is no shadow any more.
    expect(value(await store.activate(edit('acme'), 2))).toMatchObject({
      liveVersion: 2,
      shadowVersion: null,
      previousVersion: 1,
    })
    expect(await ask('a')).toMatchObject({ live: { version: 2, policy: { priority: 5 } }, shadow: null })
    expect(value(await store.rollBack(edit('acme')))).toMatchObject({ liveVersion: 1, previousVersion: 2 })
    expect(
      (await store.audit('acme', null, 100)).map(
        ({ action, detail, actor }) => `${actor} ${action} ${detail}`,
      ),
    ).toEqual([
      'ann policy.roll-back version 1',
      'ann policy.activate version 2',
      'ann policy.shadow version 2',
      'ann policy.create version 2',
      'ann key.create a',
      'ann tenant.create version 1',
    ])
  })

  test('of two operators who saw the same, the second is told', async () => {
    const { revision } = value(await store.createTenant(edit('acme'), policy(), ''))
    value(await store.addPolicy(edit('acme'), policy(), ''))
    const { revision: seen } = (await store.tenant('acme'))!
    expect(await store.activate(edit('acme', revision), 2)).toMatchObject({
      ok: false,
      code: 'precondition_failed',
    })
    const both = await Promise.all([
      store.activate(edit('acme', seen), 2),
      store.deleteTenant(edit('acme', seen)),
    ])
    expect(both.map(({ ok }) => ok)).toEqual([true, false])
  })

  test('a deleted live policy leaves the tenant without one', async () => {
    value(await store.createTenant(edit('acme'), policy(), ''))
    value(await store.addKey(edit('acme'), key('a')))
    value(await store.deletePolicy(edit('acme'), 1))
    expect(await ask('a')).toMatchObject({ kind: 'tenant', live: null })
    expect(await store.rollBack(edit('acme'))).toMatchObject({ ok: false, code: 'conflict' })
    expect(await store.activate(edit('acme'), 1)).toMatchObject({ ok: false, code: 'not_found' })
    // Its number is not given to another.
    expect(value(await store.addPolicy(edit('acme'), policy(), ''))).toMatchObject({ version: 2 })
  })

  test('versions are bounded, and those in use stay', async () => {
    value(await store.createTenant(edit('acme'), policy(), ''))
    for (let i = 0; i < VERSIONS_MAX + 5; i++) value(await store.addPolicy(edit('acme'), policy(), ''))
    const versions = (await store.policies('acme')).map(({ version }) => version)
    expect(versions).toHaveLength(VERSIONS_MAX + 1)
    expect(versions.at(-1)).toBe(1)
  })

  test('a shadow is summed up while it runs', async () => {
    value(await store.createTenant(edit('acme'), policy(), ''))
    value(await store.addPolicy(edit('acme'), policy(), ''))
    value(await store.shadow(edit('acme'), 2))
    const tally = { requests: 2, same: 1, otherCluster: 1, refusedByShadow: 0, refusedByLive: 0, samples: [] }
    for (const version of [2, 2, 1, 9]) await store.noteShadow('acme', version, tally)
    expect(await store.shadowTally('acme', 2)).toMatchObject({ requests: 4, otherCluster: 2 })
    expect(await store.shadowTally('acme', 1)).toBeNull()
  })
})

test('a tenant that is deleted is gone with all that it had, and its name is not given to another', async () => {
  value(await store.createTenant(edit('acme'), policy(), ''))
  value(await store.addKey(edit('acme'), key('a')))
  expect(await store.createTenant(edit('acme'), policy(), '')).toMatchObject({ ok: false, code: 'conflict' })
  value(await store.deleteTenant(edit('acme')))
  expect([await store.tenant('acme'), await store.keys('acme'), await store.policies('acme')]).toEqual([
    null,
    [],
    [],
  ])
  expect(await ask('a')).toEqual({ kind: 'unknown' })
  await evictDurableObject(store)
  expect(await store.createTenant(edit('acme'), policy(), '')).toMatchObject({ ok: false, code: 'conflict' })
})

test('tenants are listed in pages', async () => {
  for (const name of ['c', 'a', 'b']) value(await store.createTenant(edit(name), policy(), ''))
  expect((await store.tenants('', 2)).map(({ tenant }) => tenant)).toEqual(['a', 'b'])
  expect((await store.tenants('b', 2)).map(({ tenant }) => tenant)).toEqual(['c'])
})

describe('a copy in a region', () => {
  function copyOf() {
    return env.POLICY_COPY.get(
      env.POLICY_COPY.idFromName(`${shard}@us-east`),
    ) as unknown as DurableObjectStub<PolicyCopy> & Pick<PolicyStoreRpc, 'resolve'>
  }
  function setClock(copy: DurableObjectStub<PolicyCopy>, clock: () => number) {
    return runInDurableObject(copy, (object) => {
      object.nowMs = clock
    })
  }
  const asked = [{ digest: 'digest-a', revision: null }]

  test('answers for the store, for no longer than its bound', async () => {
    value(await store.createTenant(edit('acme'), policy(), ''))
    value(await store.addKey(edit('acme'), key('a')))
    const copy = copyOf()
    let nowMs = 1000
    await setClock(copy, () => nowMs)
    expect((await copy.resolve(asked, 0)).answers).toMatchObject([{ kind: 'tenant', tenant: 'acme' }])
    value(await store.revokeKey(edit('acme'), 'a'))
    nowMs += COPY_MS_MAX - 1
    expect((await copy.resolve(asked, 0)).answers).toMatchObject([{ kind: 'tenant' }])
    nowMs += 1
    expect((await copy.resolve(asked, 0)).answers).toEqual([{ kind: 'unknown' }])
  })

  test('asks at once when the asker has heard of something newer', async () => {
    value(await store.createTenant(edit('acme'), policy(), ''))
    value(await store.addKey(edit('acme'), key('a')))
    const copy = copyOf()
    const before = await copy.resolve(asked, 0)
    const changed = await store.revokeKey(edit('acme'), 'a')
    const revision = changed.ok ? changed.revision : 0
    expect(revision).toBeGreaterThan(before.revision)
    expect(await copy.resolve(asked, revision)).toEqual({ revision, answers: [{ kind: 'unknown' }] })
  })

  test('tells only what the asker does not hold', async () => {
    value(await store.createTenant(edit('acme'), policy(), ''))
    value(await store.addKey(edit('acme'), key('a')))
    const { answers } = await copyOf().resolve(asked, 0)
    const revision = answers[0]?.kind === 'tenant' ? answers[0].revision : null
    const many = [
      { digest: 'digest-a', revision },
      { digest: 'digest-z', revision: null },
    ]
    expect((await copyOf().resolve(many, 0)).answers).toEqual([{ kind: 'same' }, { kind: 'unknown' }])
  })
})
