import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatApiKey, POLICY_SHARDS, shardOf, shardOfKey } from '../../core/api-key.ts'

const SECRET = 'Zm9yIHRlc3RzIG9ubHksIG5vIHNlY3JldCBhdCBhbGw'

test('a key names the shard that knows it', () => {
  for (let shard = 0; shard < POLICY_SHARDS; shard++)
    expect(shardOfKey(formatApiKey(shard, SECRET))).toBe(shard)
})

test('a mistyped, invented or foreign key is nobody’s', () => {
  const key = formatApiKey(7, SECRET)
  fc.assert(
    fc.property(fc.nat({ max: key.length - 1 }), fc.constantFrom(...'abcXYZ019_-'), (at, char) => {
      fc.pre(key[at] !== char)
      expect(shardOfKey(key.slice(0, at) + char + key.slice(at + 1))).toBeNull()
    }),
  )
  for (const other of ['', 'isk-', `${key} `, key.toUpperCase(), 'iso-development-key', 'x'.repeat(500)]) {
    expect(shardOfKey(other)).toBeNull()
  }
  // A shard that there is not, with a checksum that is right.
  expect(shardOfKey(formatApiKey(255, SECRET))).toBeNull()
})

test('tenants spread over the shards', () => {
  const shards = Array.from({ length: 10_000 }, (_, i) => shardOf(`tenant-${i}`))
  const counts = shards.reduce(
    (sums, shard) => sums.set(shard, (sums.get(shard) ?? 0) + 1),
    new Map<number, number>(),
  )
  expect(counts.size).toBe(POLICY_SHARDS)
  expect(Math.max(...counts.values())).toBeLessThan(450)
  expect(shardOf('acme')).toBe(shardOf('acme'))
})
