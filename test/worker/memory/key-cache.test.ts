import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { KeyAnswer, Resolution } from '../../../protocol/policy-store.ts'
import { policySchema } from '../../../protocol/policy.ts'
import { COPY_MS_MAX } from '../../../tenancy/policy-copy.ts'
import { KEY_FRESH_MS, KEY_MS_MAX, KeyCache } from '../../../worker/memory/key-cache.ts'

const policy = policySchema.parse({ regions: ['us-east'] })
/** How long an asking may take: STORE_MS_MAX for the isolate. */
const ASKING_MS_MAX = 1000
const BOUND_MS = KEY_MS_MAX + COPY_MS_MAX + ASKING_MS_MAX

function tenant(revision: number): KeyAnswer {
  return {
    kind: 'tenant',
    tenant: 'acme',
    revision,
    keyId: 'k',
    expiresMs: null,
    live: { version: revision, policy },
    shadow: null,
  }
}

function resolution(revision: number, ...answers: KeyAnswer[]): Resolution {
  return { revision, answers }
}

test('fresh, due and stale', () => {
  const cache = new KeyCache()
  expect(cache.read('d', 0, 0)).toBeNull()
  cache.learn(1, cache.questions('d', 1, 0, 0), resolution(1, tenant(1)), 0)
  expect(cache.read('d', 0, KEY_FRESH_MS - 1)?.freshness).toBe('fresh')
  expect(cache.read('d', 0, KEY_FRESH_MS)?.freshness).toBe('due')
  expect(cache.read('d', 0, KEY_MS_MAX)?.freshness).toBe('stale')
  // Someone has heard of something newer.
  expect(cache.read('d', 2, 0)?.freshness).toBe('stale')
})

test('it asks for what will be due too, of the same shard only', () => {
  const cache = new KeyCache()
  for (const [digest, shard] of [
    ['a', 1],
    ['b', 1],
    ['c', 2],
  ] as const) {
    cache.learn(shard, [{ digest, revision: null }], resolution(1, tenant(1)), 0)
  }
  expect(cache.questions('a', 1, 0, KEY_FRESH_MS)).toEqual([
    { digest: 'a', revision: 1 },
    { digest: 'b', revision: 1 },
  ])
  expect(cache.questions('a', 1, 0, 1)).toHaveLength(1)
})

test('"the same" renews what was asked about, and nothing else', () => {
  const cache = new KeyCache()
  const asked = [{ digest: 'd', revision: 1 }]
  cache.learn(1, asked, resolution(5, { kind: 'same' }), 0)
  expect(cache.read('d', 0, 0)).toBeNull()
  cache.learn(1, [{ digest: 'd', revision: null }], resolution(5, tenant(1)), 10)
  cache.learn(1, asked, resolution(6, { kind: 'same' }), 2000)
  expect(cache.read('d', 6, 2000)).toMatchObject({ freshness: 'fresh', ageMs: 0 })
  // It was about another revision than the one that is held meanwhile.
  cache.learn(1, [{ digest: 'd', revision: null }], resolution(7, tenant(7)), 3000)
  cache.learn(1, asked, resolution(9, { kind: 'same' }), 4000)
  expect(cache.read('d', 0, 4000)?.ageMs).toBe(1000)
})

test('an answer that was asked for earlier does not replace a later one', () => {
  const cache = new KeyCache()
  const asked = [{ digest: 'd', revision: null }]
  cache.learn(1, asked, resolution(2, { kind: 'unknown' }), 1000)
  cache.learn(1, asked, resolution(1, tenant(1)), 500)
  expect(cache.read('d', 0, 1000)?.known.kind).toBe('unknown')
})

test('invented keys are counted, and new ones wait when they are many', () => {
  const cache = new KeyCache()
  for (let i = 0; i < 50; i++) {
    expect(cache.isFlooded(1000)).toBe(false)
    cache.learn(1, [{ digest: `d${i}`, revision: null }], resolution(1, { kind: 'unknown' }), 1000)
  }
  expect(cache.isFlooded(1000)).toBe(true)
  expect(cache.isFlooded(2001)).toBe(false)
})

test('whatever happens, nobody uses a revoked key or a deleted policy beyond the bound', () => {
  const steps = fc.array(
    fc.record({
      waitMs: fc.integer({ min: 0, max: 4000 }),
      what: fc.constantFrom('ask', 'ask', 'ask', 'change', 'revoke', 'lose', 'hear'),
      copyAgeMs: fc.integer({ min: 0, max: COPY_MS_MAX }),
      tookMs: fc.integer({ min: 0, max: ASKING_MS_MAX }),
    }),
    { minLength: 20, maxLength: 80, size: 'max' },
  )
  fc.assert(
    fc.property(steps, (steps) => {
      const cache = new KeyCache()
      /** What the store said from when on. */
      const history: { sinceMs: number; revision: number; answer: KeyAnswer }[] = [
        { sinceMs: 0, revision: 1, answer: tenant(1) },
      ]
      let heard = 0
      let nowMs = 10_000
      for (const { waitMs, what, copyAgeMs, tookMs } of steps) {
        nowMs += waitMs
        const newest = history.at(-1)!
        if (what === 'change') {
          history.push({ sinceMs: nowMs, revision: newest.revision + 1, answer: tenant(newest.revision + 1) })
        } else if (what === 'revoke') {
          history.push({ sinceMs: nowMs, revision: newest.revision + 1, answer: { kind: 'unknown' } })
        } else if (what === 'hear') heard = newest.revision
        else {
          const held = cache.read('d', heard, nowMs)
          if (held && held.freshness !== 'stale') {
            // What is used was true less than the bound ago.
            const sameAs = (answer: KeyAnswer) => JSON.stringify(answer) === JSON.stringify(held.known)
            const end = history.findLastIndex(({ answer }) => sameAs(answer)) + 1
            const endedMs = history[end]?.sinceMs ?? Infinity
            expect(nowMs - endedMs).toBeLessThan(BOUND_MS)
          }
          if (what === 'lose' || held?.freshness === 'fresh') continue
          const questions = cache.questions('d', 1, heard, nowMs)
          const asOfMs = nowMs - copyAgeMs
          const said =
            history.findLast(({ sinceMs, revision }) => sinceMs <= asOfMs || revision === heard) ??
            history[0]!
          const revision = questions[0]!.revision
          const isSame = said.answer.kind === 'tenant' && said.answer.revision === revision
          cache.learn(1, questions, resolution(said.revision, isSame ? { kind: 'same' } : said.answer), nowMs)
          nowMs += tookMs
        }
      }
    }),
    { numRuns: 200 },
  )
})
