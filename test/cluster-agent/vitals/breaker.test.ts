import { expect, test } from 'vitest'
import {
  Breaker,
  COOL_DOWN_MS,
  COOL_DOWN_MS_MAX,
  PROBATION_MS,
  STREAK_MS,
} from '../../../cluster-agent/vitals/breaker.ts'
import { legsAllowed, RAMP_MS } from '../../../cluster-agent/vitals/ramp.ts'

test('a failure opens it, good health after the cool-down tries it, a request that ends well closes it', () => {
  const breaker = new Breaker()
  breaker.noteFailure(0)
  expect(breaker.state).toBe('open')
  breaker.noteSuccess()
  breaker.noteWell(COOL_DOWN_MS - 1)
  expect(breaker.state).toBe('open')
  breaker.noteWell(COOL_DOWN_MS)
  expect(breaker.state).toBe('half-open')
  breaker.noteSuccess()
  expect(breaker.state).toBe('closed')
})

test('failures on probation double the cool-down up to a bound; a long peace halves nothing but begins anew', () => {
  const breaker = new Breaker()
  let nowMs = 0
  let coolDownMs = COOL_DOWN_MS
  for (let i = 0; i < 8; i++) {
    breaker.noteFailure(nowMs)
    // Others that were under way.
    breaker.noteFailure(nowMs + 1)
    breaker.noteWell(nowMs + coolDownMs - 1)
    expect(breaker.state).toBe('open')
    nowMs += coolDownMs
    breaker.noteWell(nowMs)
    expect(breaker.state).toBe('half-open')
    coolDownMs = Math.min(coolDownMs * 2, COOL_DOWN_MS_MAX)
  }
  nowMs += PROBATION_MS
  breaker.noteWell(nowMs)
  expect(breaker.state).toBe('closed')
  nowMs += STREAK_MS
  breaker.noteFailure(nowMs)
  breaker.noteWell(nowMs + COOL_DOWN_MS)
  expect(breaker.state).toBe('half-open')
})

test('a newcomer may take more and more, then anything', () => {
  const allowed = [-5, 0, 5000, 10_000, 20_000, RAMP_MS - 1].map((ageMs) => legsAllowed(ageMs) ?? 0)
  expect(allowed[0]).toBe(2)
  expect(allowed.toSorted((a, b) => a - b)).toEqual(allowed)
  expect(allowed.at(-1)).toBeGreaterThan(100)
  expect(legsAllowed(RAMP_MS)).toBeNull()
})
