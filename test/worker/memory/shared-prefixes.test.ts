import { expect, test } from 'vitest'
import { SharedPrefixes } from '../../../worker/memory/shared-prefixes.ts'

/** Markers at 100, 200, … bytes with keys that begin with `root`. */
const markers = (root: number, count: number) =>
  Uint32Array.from({ length: count * 3 }, (_, word) => {
    const at = Math.floor(word / 3) + 1
    return [at * 100, root * 1000 + at, 7][word % 3] ?? 0
  })

test('a prefix is shared once a prompt before has ended its match there', () => {
  const prefixes = new SharedPrefixes()
  expect(prefixes.isShared(markers(1, 3), 200)).toBe(false)
  prefixes.note(markers(1, 3), 200)
  expect(prefixes.isShared(markers(1, 5), 200)).toBe(true)
  expect(prefixes.isShared(markers(2, 5), 200)).toBe(false)
})

test('the turns of a conversation, each deeper than the last, share nothing', () => {
  const prefixes = new SharedPrefixes()
  for (let turn = 1; turn <= 10; turn++) {
    expect(prefixes.isShared(markers(1, turn + 1), turn * 100)).toBe(false)
    prefixes.note(markers(1, turn + 1), turn * 100)
  }
})

test('nothing resident, or bytes where no marker lies, is nothing shared', () => {
  const prefixes = new SharedPrefixes()
  for (const bytes of [0, 150]) {
    prefixes.note(markers(1, 3), bytes)
    expect(prefixes.isShared(markers(1, 3), bytes)).toBe(false)
  }
})

test('what was not found for long is forgotten, what is found stays', () => {
  const prefixes = new SharedPrefixes()
  prefixes.note(markers(1, 1), 100)
  for (let other = 2; other < 5000; other++) {
    prefixes.note(markers(other, 1), 100)
    prefixes.note(markers(1, 1), 100)
  }
  expect(prefixes.isShared(markers(1, 1), 100)).toBe(true)
  expect(prefixes.isShared(markers(2, 1), 100)).toBe(false)
})
