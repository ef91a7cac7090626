import { expect, test } from 'vitest'
import { EventAge } from '../../../cluster-agent/report/event-age.ts'

const WALL_MS = 1_800_000_000_000

test('the oldest event since the last report counts, whichever engine made it', () => {
  const age = new EventAge()
  expect(age.takeOldestMs()).toBeNull()
  age.note(1, WALL_MS - 30, WALL_MS, 1000)
  age.note(2, WALL_MS + 5, WALL_MS + 10, 1010)
  age.note(1, WALL_MS + 19, WALL_MS + 20, 1020)
  expect(age.takeOldestMs()).toBe(970)
  expect(age.takeOldestMs()).toBeNull()
})

test('an engine that does not say when counts from the arrival', () => {
  const age = new EventAge()
  age.note(1, null, WALL_MS, 1000)
  expect(age.takeOldestMs()).toBe(1000)
})

test('another process on the same number has a clock of its own', () => {
  const age = new EventAge()
  age.note(1, WALL_MS - 180_000, WALL_MS, 0)
  expect(age.takeOldestMs()).toBe(0)
  age.forget(1)
  age.note(1, WALL_MS + 90, WALL_MS + 100, 100)
  expect(age.takeOldestMs()).toBe(90)
})
