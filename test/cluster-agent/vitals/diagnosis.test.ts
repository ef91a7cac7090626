import { expect, test } from 'vitest'
import {
  diagnose,
  OBSERVED_MIN,
  type Diagnosis,
  type Evidence,
} from '../../../cluster-agent/vitals/diagnosis.ts'
import { Predictions, WINDOW, type Observation } from '../../../cluster-agent/vitals/predictions.ts'

const BLOCK = 16

const seen: Observation = {
  matchedTokens: 320,
  cachedTokens: 320,
  knownTokens: 400,
  mayMissEvents: false,
  predictedTtftMs: 100,
  ttftMs: 150,
}

function predictions(
  matchedTokens: number,
  cachedTokens: number | null,
  requests = OBSERVED_MIN * 2,
  more: Partial<Observation> = {},
) {
  const made = new Predictions()
  for (let i = 0; i < requests; i++) made.note({ ...seen, matchedTokens, cachedTokens, ...more })
  return made.summary(BLOCK)
}

const sound: Evidence = {
  predictions: predictions(320, 320),
  hasPrefixCache: true,
  engineHits: 1000,
  engineBlockTokens: BLOCK,
  eventBlockTokens: BLOCK,
  eventMessages: 50,
  saltedRoots: 20,
  unsaltedRoots: 0,
  differsFromGoodPeers: () => false,
  sharesTiers: true,
  sameHashes: 20,
  otherHashes: 0,
}

test.for<[Diagnosis | null, Partial<Evidence>]>([
  [null, {}],
  [null, { predictions: predictions(0, 0) }],
  [null, { predictions: predictions(320, 320 - BLOCK + 1) }],
  [null, { predictions: predictions(320, 0, OBSERVED_MIN - 1) }],
  ['prefix-caching-off', { hasPrefixCache: false }],
  ['prefix-caching-off', { hasPrefixCache: null, engineHits: 0, predictions: predictions(320, 0) }],
  ['usage-not-reported', { predictions: predictions(320, null) }],
  ['no-events', { eventMessages: 0, predictions: predictions(0, 320) }],
  ['block-size', { engineBlockTokens: 32 }],
  ['salt', { saltedRoots: 0, unsaltedRoots: 20 }],
  ['version', { predictions: predictions(320, 0), differsFromGoodPeers: () => true }],
  ['hash-seed', { sameHashes: 0, otherHashes: 20 }],
  [null, { sameHashes: 0, otherHashes: 20, sharesTiers: false }],
  ['stale-residency', { predictions: predictions(320, 160) }],
  ['missing-events', { predictions: predictions(0, 320) }],
  ['version', { predictions: predictions(0, 320), differsFromGoodPeers: () => true }],
  [
    'missing-events',
    {
      predictions: predictions(0, 320, OBSERVED_MIN, { mayMissEvents: true }),
      differsFromGoodPeers: () => true,
    },
  ],
  // Prompts that were learnt late: not at all, or not as far as the engine knew them.
  [null, { predictions: predictions(0, 320, OBSERVED_MIN, { knownTokens: 0 }) }],
  [null, { predictions: predictions(160, 320, OBSERVED_MIN, { knownTokens: 175 }) }],
  ['missing-events', { predictions: predictions(160, 320, OBSERVED_MIN, { knownTokens: 176 }) }],
])('%s', ([diagnosis, evidence]) => {
  expect(diagnose({ ...sound, ...evidence })).toBe(diagnosis)
})

test('the window forgets, the count does not; the ratio is a median', () => {
  const made = new Predictions()
  for (let i = 0; i < WINDOW; i++) made.note({ ...seen, cachedTokens: 0, ttftMs: 1e6 })
  expect(made.summary(BLOCK)).toMatchObject({
    over: WINDOW,
    exact: 0,
    biasTokens: 320,
    expectedFoundNone: WINDOW,
  })
  for (let i = 0; i < WINDOW; i++) made.note({ ...seen, ttftMs: i === 7 ? 1e6 : 200 })
  expect(made.summary(BLOCK)).toMatchObject({ requests: 2 * WINDOW, exact: WINDOW, over: 0, ttftRatio: 2 })
  made.forget()
  expect(made.summary(BLOCK)).toMatchObject({ reported: 0, biasTokens: 0, ttftRatio: null })
})
