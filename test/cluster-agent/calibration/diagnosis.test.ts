import { expect, test } from 'vitest'
import {
  DIAGNOSES,
  diagnose,
  type Diagnosis,
  type Symptoms,
} from '../../../cluster-agent/calibration/diagnosis.ts'
import { RatioWindow } from '../../../cluster-agent/calibration/prediction-errors.ts'

function symptoms(more: Partial<Symptoms> = {}): Symptoms {
  return {
    ttft: new RatioWindow().summary,
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

const CASES: Readonly<Record<Diagnosis, Symptoms>> = {
  'slower-than-predicted': ttft(2),
  'faster-than-predicted': ttft(0.5),
  unpredictable: ttft(1, 1, 1, 10, 0.1),
  'profile-far-off': symptoms({ profileFactor: 6 }),
  'foreign-load': symptoms({ foreign: 3 }),
  'impossible-metrics': symptoms({ impossibleSamples: 50 }),
}

test('each diagnosis has its symptoms and none of the others', () => {
  for (const name of Object.keys(DIAGNOSES) as Diagnosis[]) expect(diagnose(CASES[name])).toEqual([name])
})

test('what is well, or hardly seen, has none', () => {
  expect(diagnose(symptoms())).toEqual([])
  expect(diagnose(ttft(1, 1.1, 0.9))).toEqual([])
  const few = new RatioWindow()
  for (let i = 0; i < 10; i++) few.note(100, 900)
  expect(diagnose(symptoms({ ttft: few.summary }))).toEqual([])
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
