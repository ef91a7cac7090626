import { expect, test } from 'vitest'
import { POLICY_SHARDS, shardOf } from '../../core/api-key.ts'
import type { KeyAnswer } from '../../protocol/policy-store.ts'
import { policySchema } from '../../protocol/policy.ts'
import { KEY_FRESH_MS, KeyCache } from '../../worker/memory/key-cache.ts'

/** What an isolate asks of an object, counted instead of claimed (docs/decisions/006-tenancy.md). */
const TENANTS = 1000
const STEP_MS = 50
const RUN_MS = 30_000

test('a busy isolate asks a shard about once each three seconds, however many tenants it serves', () => {
  const policy = policySchema.parse({ regions: ['us-east'] })
  const answer: KeyAnswer = {
    kind: 'tenant',
    tenant: 't',
    revision: 1,
    keyId: 'k',
    expiresMs: null,
    live: { version: 1, policy },
    shadow: null,
  }
  const cache = new KeyCache()
  const asksByShard = Array.from({ length: POLICY_SHARDS }, () => 0)
  const ask = (digest: string, shard: number, nowMs: number): void => {
    const questions = cache.questions(digest, shard, 0, nowMs)
    const answers = questions.map(({ revision }): KeyAnswer => (revision === 1 ? { kind: 'same' } : answer))
    cache.learn(shard, questions, { revision: 1, answers }, nowMs)
  }
  const shards = Array.from({ length: TENANTS }, (_, i) => shardOf(`tenant-${i}`))
  for (const [i, shard] of shards.entries()) ask(`d${i}`, shard, 0)
  let seed = 1
  for (let nowMs = 0; nowMs < RUN_MS; nowMs += STEP_MS) {
    for (let request = 0; request < 10; request++) {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      const at = seed % TENANTS
      const shard = shards[at] ?? 0
      const held = cache.read(`d${at}`, 0, nowMs)
      expect(held?.freshness).not.toBe('stale')
      if (held?.freshness === 'fresh') continue
      asksByShard[shard] = (asksByShard[shard] ?? 0) + 1
      ask(`d${at}`, shard, nowMs)
    }
  }
  const windows = RUN_MS / KEY_FRESH_MS
  expect(Math.max(...asksByShard)).toBeLessThanOrEqual(windows)
  expect(Math.min(...asksByShard)).toBeGreaterThan(0)
}, 30_000)
