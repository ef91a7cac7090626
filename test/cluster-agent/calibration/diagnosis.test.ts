import { expect, test } from 'vitest'
import {
  DIAGNOSES,
  diagnose,
  type Diagnosis,
  type Symptoms,
} from '../../../cluster-agent/calibration/diagnosis.ts'
import { CacheWindow, RatioWindow } from '../../../cluster-agent/calibration/prediction-errors.ts'

function symptoms(more: Partial<Symptoms> = {}): Symptoms {
  return {
    ttft: new RatioWindow().summary,
    cache: new CacheWindow().summary,
    profileFactor: 1,
    impossibleSamples: 0,
    samples: 100,
    foreign: 0,
    ...more,
  }
}

function ttft(...ratios: readonly number[]) {
  const window = new RatioWindow()
  for (let i = 0; i < 40; i++) window.note(100, 100 * (ratios[i % ratios.length] ?? 1))
  return symptoms({ ttft: window.summary })
}

function cache(predicted: number, cached: number | null, requests = 40) {
  const window = new CacheWindow()
  for (let i = 0; i < requests; i++) window.note(predicted, cached, 2000)
  return symptoms({ cache: window.summary })
}

const CASES: Readonly<Record<Diagnosis, Symptoms>> = {
  'slower-than-predicted': ttft(2),
  'faster-than-predicted': ttft(0.5),
  unpredictable: ttft(1, 1, 1, 10, 0.1),
  'profile-far-off': symptoms({ profileFactor: 6 }),
  'cached-tokens-not-reported': cache(1000, null),
  'prefix-cache-not-hit': cache(1000, 0),
  'stale-residency': cache(1000, 500),
  'missing-events': cache(0, 1000),
  'foreign-load': symptoms({ foreign: 3 }),
  'impossible-metrics': symptoms({ impossibleSamples: 50 }),
}

test('each diagnosis has its symptoms and none of the others', () => {
  for (const name of Object.keys(DIAGNOSES) as Diagnosis[]) expect(diagnose(CASES[name])).toEqual([name])
})

test('what is well, or hardly seen, has none', () => {
  expect(diagnose(symptoms())).toEqual([])
  expect(diagnose(ttft(1, 1.1, 0.9))).toEqual([])
  expect(diagnose(cache(1000, 990))).toEqual([])
  expect(diagnose(cache(1000, 0, 10))).toEqual([])
})

test('ratios that are none are left out', () => {
  const window = new RatioWindow()
  for (const [predicted, observed] of [
    [0, 5],
    [5, 0],
    [Number.NaN, 5],
    [5, Infinity],
  ])
    window.note(predicted!, observed!)
  expect(window.summary.samples).toBe(0)
})
