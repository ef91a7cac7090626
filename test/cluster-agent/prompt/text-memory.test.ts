import fc from 'fast-check'
import { expect, test } from 'vitest'
import { TextMemory } from '../../../cluster-agent/prompt/text-memory.ts'

test('a piece is found under its text and under no other', () => {
  const texts = fc.uniqueArray(fc.string({ maxLength: 80, size: 'max' }), { minLength: 2, maxLength: 40 })
  fc.assert(
    fc.property(texts, ([other = '', ...kept]) => {
      const memory = new TextMemory<string>(1_000_000)
      for (const text of kept) memory.keep(text, text)
      for (const text of kept) expect(memory.find([...text].join(''))).toBe(text)
      expect(memory.find(other)).toBeNull()
    }),
    { numRuns: 500 },
  )
})

test('pieces that their samples do not tell apart are told apart, up to a bound', () => {
  const memory = new TextMemory<number>(1_000_000)
  // Every 32nd of 1,024 characters counts, from the last one on.
  const alike = (n: number) => `${String(n).padStart(5, '0')}${'x'.repeat(1019)}`
  for (let n = 0; n < 8; n++) memory.keep(alike(n), n)
  expect(Array.from({ length: 9 }, (_, n) => memory.find(alike(n)))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, null])
  memory.keep(alike(8), 8)
  expect([0, 1, 8].map((n) => memory.find(alike(n)))).toEqual([null, 1, 8])
  expect(memory.size).toBe(8)
})

test('what was not asked for goes first, and nothing is kept beyond the bound', () => {
  const memory = new TextMemory<number>(100)
  const text = (n: number) => String(n).padEnd(25, '.')
  for (let n = 0; n < 4; n++) memory.keep(text(n), n)
  memory.find(text(0))
  memory.keep(text(4), 4)
  expect(memory.find(text(1))).toBeNull()
  memory.keep(text(5), 5)
  memory.keep('y'.repeat(101), 6)
  expect([0, 2, 3, 4, 5].map((n) => memory.find(text(n)))).toEqual([0, null, 3, 4, 5])
  expect([memory.find('y'.repeat(101)), memory.size]).toEqual([null, 4])
})
