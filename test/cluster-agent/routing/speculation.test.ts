import { expect, test } from 'vitest'
import { SPECULATION_MS, Speculation } from '../../../cluster-agent/routing/speculation.ts'

/** Markers at 100 and 200 bytes of a prompt, whose second one `lo` tells apart from those of others. */
const prompt = (lo: number) => Uint32Array.of(100, 1, 0, 200, lo, 0)

test('a prefix is expected where it was sent, to its deepest marker, until its time is over', () => {
  const speculation = new Speculation()
  speculation.note(0, prompt(2), 0)
  speculation.note(1, prompt(3), 500)
  expect([...speculation.match(prompt(2), 600)]).toEqual([
    [0, 200],
    [1, 100],
  ])
  expect([...speculation.match(prompt(2), SPECULATION_MS)]).toEqual([[1, 100]])
  expect(speculation.match(prompt(2), SPECULATION_MS + 500).size).toBe(0)
})

test('what is noted again lives on, and is let go in its turn', () => {
  const speculation = new Speculation()
  speculation.note(0, prompt(2), 0)
  speculation.note(0, prompt(2), 1500)
  speculation.note(0, prompt(3), SPECULATION_MS + 100)
  expect(speculation.match(prompt(2), SPECULATION_MS + 200).get(0)).toBe(200)
  expect(speculation.size).toBe(3)
  // One prompt after another: at the end only the last is held.
  for (let i = 4; i < 100; i++) speculation.note(0, prompt(i), i * 10_000)
  expect(speculation.size).toBe(2)
})

test('of the places of a prefix the latest four are kept, and one that did not get to compute is none', () => {
  const speculation = new Speculation()
  for (let endpoint = 0; endpoint < 6; endpoint++) speculation.note(endpoint, prompt(2), endpoint)
  speculation.note(3, prompt(2), 10)
  expect([...speculation.match(prompt(2), 20).keys()]).toEqual([3, 5, 4, 2])
  for (const endpoint of [2, 3, 4, 5]) speculation.forget(endpoint, prompt(2))
  expect(speculation.size).toBe(0)
})

test('the number of prefixes is bounded, and the last ones stay', () => {
  const speculation = new Speculation()
  for (let i = 0; i < 40_000; i++) speculation.note(0, Uint32Array.of(256, i, 1), 0)
  expect(speculation.size).toBe(16_384)
  expect(speculation.match(Uint32Array.of(256, 39_999, 1), 1).get(0)).toBe(256)
  expect(speculation.match(Uint32Array.of(256, 0, 1), 1).size).toBe(0)
})

test('prefixes whose keys are alike in one half are not taken for each other', () => {
  const speculation = new Speculation()
  speculation.note(0, Uint32Array.of(256, 7, 1), 0)
  expect(speculation.match(Uint32Array.of(256, 7, 2), 1).size).toBe(0)
  speculation.forget(0, Uint32Array.of(256, 7, 2))
  expect(speculation.match(Uint32Array.of(256, 7, 1), 1).get(0)).toBe(256)
  speculation.note(1, Uint32Array.of(512, 7, 2), 0)
  expect([...speculation.match(Uint32Array.of(512, 7, 2), 1)]).toEqual([[1, 512]])
})
