/** What becomes of a stream while history is asked for, and when it comes in part, late or never. */
import { expect, test } from 'vitest'
import { HELD_MAX } from '../../../cluster-agent/events/held-messages.ts'
import { connectedPair, Engine, Subscription } from './publishing-engine.ts'

test('a replay that ends early is used as far as it goes', () => {
  const engine = new Engine(10_000)
  const sub = new Subscription()
  for (const n of [0, 1, 2]) engine.step(n, true)
  sub.stream.connected()
  sub.stream.receive(engine.step(3, true)!)
  sub.answer(engine, 1)
  // Block 0 was told, what lies between was not: it counts no longer, since a removal may lie there.
  expect(sub.reasons).toEqual(['read again', 'events are missing'])
  expect(sub.stream.state).toBe('live')
  for (const hash of sub.resident) expect(engine.resident).toContain(hash)
})

test('a first replay that failed is asked for again when the engine is silent', () => {
  const engine = new Engine(10_000)
  const sub = new Subscription()
  sub.stream.connected()
  sub.answer(engine, 0)
  engine.step(0, true)
  sub.stream.quiet()
  sub.settle(engine)
  expect(sub.resident).toEqual(engine.resident)
})

test('history that a replay did not bring is read again, and what is known stands until it comes', () => {
  const engine = new Engine(10_000)
  const sub = new Subscription()
  for (const n of [0, 1, 2]) engine.step(n, true)
  sub.stream.connected()
  sub.stream.receive(engine.step(3, true)!)
  sub.answer(engine, 1)
  expect(sub.stream.isPartial).toBe(true)
  expect(sub.resident).not.toEqual(engine.resident)
  sub.stream.receive(engine.clear())
  sub.stream.receive(engine.step(0, true)!)
  const known = sub.resident
  expect(known).toHaveLength(1)

  sub.stream.refill()
  expect(sub.stream.state).toBe('syncing')
  sub.stream.receive(engine.step(1, true)!)
  sub.answer(engine, 0)
  // Nothing came: what was known stands, and what was said meanwhile counts.
  expect(sub.resident).toEqual(engine.resident)
  expect(sub.stream.isPartial).toBe(true)

  sub.stream.refill()
  sub.settle(engine)
  expect(sub.resident).toEqual(engine.resident)
  expect([sub.stream.isPartial, sub.stream.state]).toEqual([false, 'live'])
  sub.stream.refill()
  expect(sub.stream.state).toBe('live')
})

test('a replay of an earlier connection changes nothing', () => {
  const { engine, sub } = connectedPair()
  sub.stream.receive(engine.step(0, true)!)
  sub.stream.quiet()
  const stale = sub.asked!
  sub.stream.disconnected()
  sub.stream.receiveReplay(stale.token, engine.buffer[0]!)
  sub.stream.endReplay(stale.token, true)
  expect(sub.resident).toEqual([])
  expect(sub.stream.state).toBe('cold')
})

test('an engine that has not come as far as its last message is another', () => {
  const { engine, sub } = connectedPair()
  const stray = { seq: 1, payload: engine.step(0, true)!.payload }
  engine.restart()
  sub.stream.receive(engine.clear())
  sub.stream.receive(stray)
  sub.settle(engine)
  sub.stream.quiet()
  sub.settle(engine)
  expect(sub.reasons.at(-1)).toBe('replay contradicts')
  expect(sub.resident).toEqual([])
})

test('what waits for a replay is bounded, and what was let go is asked for', () => {
  const engine = new Engine(100_000)
  const sub = new Subscription()
  sub.stream.connected()
  engine.step(0, true)
  for (let i = 0; i <= HELD_MAX; i++) sub.stream.receive(engine.publish({ type: 'AllBlocksCleared' }))
  engine.step(0, true)
  sub.answer(engine)
  sub.settle(engine)
  expect(sub.stream.counts.overruns).toBe(1)
  expect(sub.resident).toEqual([engine.hash(0)])
})

test('where no replay answers, what is said is applied as it comes', () => {
  const engine = new Engine(10_000)
  const sub = new Subscription()
  engine.step(1, true)
  engine.step(0, true)
  sub.stream.connected()
  for (const n of [1, 2]) {
    sub.stream.receive(engine.step(n, true)!)
    expect(sub.stream.state).toBe('syncing')
  }
  sub.stream.receive(engine.step(2, false)!)
  // Their parent is not known. What begins a chain is.
  expect(sub.resident).toEqual([])
  sub.stream.receive(engine.step(0, true)!)
  expect(sub.resident).toEqual([engine.hash(0), engine.hash(1)])
  sub.answer(engine, 0)
  expect([sub.stream.state, sub.stream.isMissing]).toEqual(['live', true])
  expect(sub.resident).toEqual([engine.hash(0), engine.hash(1)])

  // The same while history is read again: what is known stands, and goes on.
  sub.stream.refill()
  sub.stream.receive(engine.step(2, true)!)
  expect(sub.stream.state).toBe('syncing')
  expect(sub.resident).toEqual([engine.hash(0), engine.hash(1), engine.hash(2)])
  sub.answer(engine)
  expect(sub.reasons).toEqual(['read again'])
  expect(sub.resident).toEqual(engine.resident)
  expect(sub.stream.isMissing).toBe(false)
  for (const n of [2, 1, 0]) sub.stream.receive(engine.step(n, false)!)
  sub.stream.receive(engine.step(0, false)!)
  // Each copy was counted once.
  expect([sub.resident, engine.resident]).toEqual([[], []])
})

test('of what was said before history came only what is missing is forgotten', () => {
  const engine = new Engine(10_000)
  const sub = new Subscription()
  sub.stream.connected()
  for (const n of [0, 1]) sub.stream.receive(engine.step(n, true)!)
  sub.answer(engine)
  expect(sub.reasons).toEqual([])
  expect(sub.resident).toEqual(engine.resident)
})

test('another life shows while history is asked for', () => {
  const engine = new Engine(10_000)
  const sub = new Subscription()
  for (const n of [0, 1, 2]) engine.step(n, true)
  sub.stream.connected()
  sub.stream.receive(engine.step(0, true)!)
  engine.restart()
  sub.stream.receive(engine.step(0, true)!)
  expect(sub.reasons).toEqual(['sequence went back'])
  expect(sub.resident).toEqual(engine.resident)
  sub.settle(engine)
  expect(sub.resident).toEqual(engine.resident)
})

test('what waits behind a gap is applied when the replay is given up', () => {
  const { engine, sub } = connectedPair()
  sub.stream.receive(engine.step(0, true)!)
  expect([sub.stream.isWaiting, sub.stream.isMissing]).toEqual([false, false])
  engine.clear()
  sub.stream.receive(engine.step(0, true)!)
  expect(sub.stream.isWaiting).toBe(true)
  const late = sub.asked!
  sub.stream.giveUpReplay()
  expect(sub.reasons).toEqual(['events are missing'])
  expect([sub.stream.state, sub.stream.isWaiting, sub.stream.isMissing]).toEqual(['live', false, true])
  expect(sub.resident).toEqual(engine.resident)
  // What comes of it now is of no use.
  sub.stream.receiveReplay(late.token, engine.buffer[0]!)
  expect(sub.resident).toEqual(engine.resident)
  sub.stream.refill()
  sub.settle(engine)
  expect(sub.stream.isMissing).toBe(false)
})

test('a gap that its replay closed loses nothing; a payload that cannot be read does, until all is read again', () => {
  const { engine, sub } = connectedPair()
  engine.step(0, true)
  sub.stream.receive(engine.step(1, true)!)
  sub.settle(engine)
  expect([sub.stream.counts.gaps, sub.stream.isMissing]).toEqual([1, false])
  sub.stream.receive(engine.publish({ type: 'BlockRemoved', block_hashes: 1 }))
  expect(sub.stream.isMissing).toBe(true)
  expect(sub.resident).toEqual([])
  sub.stream.quiet()
  sub.settle(engine)
  expect(sub.stream.isMissing).toBe(true)
  sub.stream.receive(engine.step(0, true)!)
  sub.stream.reread()
  // It stands until it comes.
  expect(sub.resident).toEqual([engine.hash(0)])
  sub.settle(engine)
  expect([sub.stream.isMissing, sub.resident]).toEqual([false, [engine.hash(0)]])
})
