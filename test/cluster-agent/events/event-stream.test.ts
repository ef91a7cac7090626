import { encode } from '@msgpack/msgpack'
import { expect, test } from 'vitest'
import { EVENT_STREAM_TABLE, type StreamEvent } from '../../../cluster-agent/events/stream-table.ts'
import { connectedPair, Engine, Subscription } from './publishing-engine.ts'

test('every state answers every event, and only a replay or its end leads to live', () => {
  for (const [state, row] of Object.entries(EVENT_STREAM_TABLE))
    for (const [event, { to, action }] of Object.entries(row) as [
      StreamEvent,
      { to: string; action: string },
    ][]) {
      if (to === 'live' && state !== 'live') expect(event).toBe('replayed')
      if (event === 'disconnected') expect(to).toBe('cold')
      // Live knowledge is never carried over to a connection that is another one.
      if (state === 'live' && (event === 'connected' || event === 'disconnected' || event === 'back'))
        expect(action).toMatch(/^forget/)
    }
})

test('history before the subscription is read first, and what is said meanwhile comes behind it', () => {
  const engine = new Engine(10_000)
  const sub = new Subscription()
  engine.step(0, true)
  sub.stream.connected()
  expect(sub.stream.state).toBe('syncing')
  sub.stream.receive(engine.step(1, true)!)
  expect(sub.resident).toEqual([])
  sub.answer(engine)
  expect(sub.stream.state).toBe('live')
  expect(sub.resident).toEqual(engine.resident)
  expect(sub.stream.nextSeq).toBe(2)
})

test('partial history is positive knowledge: what it stored is there, what came before is not known', () => {
  const engine = new Engine(2)
  const sub = new Subscription()
  for (const n of [0, 1, 2, 5]) engine.step(n, true)
  sub.stream.connected()
  sub.answer(engine)
  // Blocks 2 and 5 wait for their parent, which nobody will tell of again.
  expect(sub.stream.state).toBe('live')
  expect(sub.resident).toEqual([])
  expect(sub.index.counts.orphans).toBe(2)
  expect(sub.reasons).toEqual([])
})

test('a gap is replayed from the last message on, with nothing forgotten', () => {
  const { engine, sub } = connectedPair()
  for (const n of [0, 1]) sub.stream.receive(engine.step(n, true)!)
  engine.step(2, true)
  sub.stream.receive(engine.step(3, true)!)
  expect(sub.asked?.fromSeq).toBe(0)
  sub.answer(engine)
  expect(sub.resident).toEqual(engine.resident)
  expect(sub.reasons).toEqual([])
})

test('a gap that the engine no longer has forgets what lies before it', () => {
  const engine = new Engine(1)
  const sub = new Subscription()
  sub.stream.connected()
  sub.settle(engine)
  for (const n of [0, 1]) sub.stream.receive(engine.step(n, true)!)
  engine.clear()
  sub.stream.receive(engine.step(0, true)!)
  sub.settle(engine)
  expect(sub.reasons).toEqual(['events are missing'])
  expect(sub.resident).toEqual(engine.resident)
})

test('without a replay a gap forgets, and a first message is believed', () => {
  const { engine, sub } = connectedPair(false)
  engine.step(0, true)
  engine.step(1, true)
  engine.step(1, false)
  sub.stream.receive(engine.clear())
  sub.stream.receive(engine.step(0, true)!)
  expect(sub.resident).toEqual(engine.resident)
  engine.step(0, false)
  sub.stream.receive(engine.clear())
  expect(sub.reasons).toEqual(['events are missing'])
  expect(sub.resident).toEqual([])
})

test('a restart shows by the connection, by a sequence that goes back, or by word from elsewhere', () => {
  for (const sign of ['socket', 'sequence', 'incarnation'] as const) {
    const { engine, sub } = connectedPair()
    for (const n of [0, 1, 2]) sub.stream.receive(engine.step(n, true)!)
    engine.restart()
    if (sign === 'socket') {
      sub.stream.disconnected()
      expect(sub.resident).toEqual([])
      sub.stream.connected()
    }
    const message = engine.step(0, true)!
    if (sign === 'sequence') sub.stream.receive(message)
    if (sign === 'incarnation') sub.stream.changed('another incarnation')
    sub.settle(engine)
    expect(sub.resident).toEqual(engine.resident)
    expect(sub.reasons.filter((reason) => reason !== 'read again')).toHaveLength(1)
  }
})

test.each([1, 2])(
  'a restart that numbers hide is found by the replay that contradicts: %i behind',
  (behind) => {
    const { engine, sub } = connectedPair()
    for (const n of [0, 1].slice(0, behind)) sub.stream.receive(engine.step(n, true)!)
    engine.restart()
    for (const n of [0, 2]) engine.step(n, true)
    // The next one by its number, or one behind a gap.
    sub.stream.receive(engine.step(6, true)!)
    sub.settle(engine)
    sub.stream.quiet()
    sub.settle(engine)
    expect(sub.reasons).toEqual(['replay contradicts'])
    expect(sub.resident).toEqual(engine.resident)
  },
)

test('a silent engine is asked: its last words may be lost, or it may be another', () => {
  const { engine, sub } = connectedPair()
  sub.stream.receive(engine.step(0, true)!)
  engine.step(0, false)
  sub.stream.quiet()
  sub.settle(engine)
  expect(sub.resident).toEqual([])
  sub.stream.receive(engine.step(0, true)!)
  engine.restart()
  sub.stream.quiet()
  sub.settle(engine)
  expect(sub.resident).toEqual([])
  expect(sub.reasons).toEqual(['replay contradicts'])
})

test('a copy is no sign of anything', () => {
  const { engine, sub } = connectedPair()
  const [first, second] = [engine.step(0, true)!, engine.step(1, true)!]
  for (const message of [first, second, first, second]) sub.stream.receive(message)
  expect(sub.reasons).toEqual([])
  expect(sub.resident).toEqual(engine.resident)
  expect(sub.stream.counts.copies).toBe(2)
})

test('a payload that cannot be read may hide a removal', () => {
  const { engine, sub } = connectedPair()
  sub.stream.receive(engine.step(0, true)!)
  sub.stream.receive({ seq: engine.seq, payload: Uint8Array.of(0xc1) })
  expect(sub.reasons).toEqual(['unreadable events'])
  expect(sub.resident).toEqual([])
  sub.stream.receive({
    seq: engine.seq + 1,
    payload: encode([1, [{ type: 'BlockRemoved', block_hashes: 1 }], 0]),
  })
  expect(sub.reasons).toHaveLength(2)
})
