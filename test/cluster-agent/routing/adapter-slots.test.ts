import { expect, test } from 'vitest'
import { AdapterSlots } from '../../../cluster-agent/routing/adapter-slots.ts'

test('an adapter keeps its slot until enough others came after it', () => {
  const adapters = new AdapterSlots()
  expect(adapters.state(0, 'a', 0)).toBe('cold')
  adapters.observe(0, { slots: 2, running: ['a'] }, 0)
  adapters.use(0, 'b')
  expect([adapters.state(0, 'a', 1), adapters.state(0, 'b', 1)]).toEqual(['loaded', 'loaded'])
  adapters.use(0, 'c')
  expect(adapters.state(0, 'a', 1)).toBe('cold')
  adapters.use(0, 'b')
  adapters.use(0, 'b')
  expect(adapters.state(0, 'c', 1)).toBe('loaded')
  expect(adapters.state(1, 'c', 1)).toBe('cold')
})

test('when every slot runs another one, a request waits, as long as that is fresh news', () => {
  const adapters = new AdapterSlots()
  adapters.observe(0, { slots: 2, running: ['a', 'b'] }, 0)
  expect(adapters.state(0, 'c', 100)).toBe('full')
  expect(adapters.state(0, 'c', 10_000)).toBe('cold')
  adapters.observe(0, { slots: 2, running: ['a'] }, 10_000)
  expect(adapters.state(0, 'c', 10_001)).toBe('cold')
})

test('impossible reports change nothing, a restart forgets, and names are bounded', () => {
  const adapters = new AdapterSlots()
  adapters.observe(0, { slots: Number.NaN, running: [] }, 0)
  adapters.observe(0, { slots: -3, running: [] }, 0)
  adapters.use(0, 'a')
  expect(adapters.state(0, 'a', 0)).toBe('loaded')
  adapters.clear(0)
  expect(adapters.state(0, 'a', 0)).toBe('cold')
  adapters.observe(0, { slots: 1000, running: [] }, 0)
  for (let i = 0; i < 1000; i++) adapters.use(0, `n${i}`)
  expect([adapters.state(0, 'n0', 0), adapters.state(0, 'n999', 0)]).toEqual(['cold', 'loaded'])
})
