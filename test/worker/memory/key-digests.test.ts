import { expect, test, vi } from 'vitest'
import { KeyDigests, TOKENS_MAX } from '../../../worker/memory/key-digests.ts'

test('a token is hashed once while it is remembered, and the memory is bounded', () => {
  const digestOf = vi.fn<(token: string) => string>((token) => `digest of ${token}`)
  const digests = new KeyDigests(digestOf)
  expect([digests.of('a'), digests.of('a')]).toEqual(['digest of a', 'digest of a'])
  expect(digestOf).toHaveBeenCalledTimes(1)
  for (let i = 0; i < TOKENS_MAX; i++) digests.of(`other ${i}`)
  digests.of('a')
  expect(digestOf).toHaveBeenCalledTimes(TOKENS_MAX + 2)
})
