import { expect, test } from 'vitest'
import { patienceMs } from '../../../worker/plan/patience.ts'
import { sumTerms } from '../../../worker/plan/price.ts'

const config = { stallFloorMs: 10_000, stallFactor: 4 }
const terms = { rttMs: 5, queueMs: 100, loadMs: 0, prefillMs: 1500, handoffMs: 95, shadowMs: 0 }

test('a cluster is left after a multiple of the price, never before the floor', () => {
  expect(patienceMs(sumTerms(terms), config, 0)).toBe(10_000)
  expect(patienceMs(sumTerms({ ...terms, queueMs: 3400 }), config, 0)).toBe(4 * 5000)
})

test('what is priced and not waited for lengthens it: the agent may wait instead of paying it', () => {
  expect(patienceMs(sumTerms({ ...terms, shadowMs: 4000 }), config, 0)).toBe(4 * 5700)
})

test('an answer that comes whole is waited for to its last token', () => {
  expect(patienceMs(sumTerms(terms), config, 200)).toBe(10_000 + 200 * 50)
})
