import fc from 'fast-check'
import { expect, test } from 'vitest'
import { equalSecrets } from '../../core/equal-secrets.ts'

test('equal means equal', () => {
  expect(equalSecrets('', '')).toBe(true)
  expect(equalSecrets('a', '')).toBe(false)
  expect(equalSecrets('', 'a')).toBe(false)
  // Neither a repetition nor a prefix passes.
  expect(equalSecrets('abab', 'ab')).toBe(false)
  expect(equalSecrets('ab', 'abab')).toBe(false)
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      expect(equalSecrets(a, b)).toBe(a === b)
      expect(equalSecrets(a, a)).toBe(true)
    }),
  )
})
