import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { EventMessage } from '../../../cluster-agent/events/frames.ts'
import { Engine, Subscription } from './publishing-engine.ts'

type Act =
  | { readonly kind: 'store' | 'remove'; readonly n: number }
  | {
      readonly kind:
        | 'deliver'
        | 'lose'
        | 'copy'
        | 'swap'
        | 'clear'
        | 'quiet'
        | 'refill'
        | 'answer'
        | 'give-up'
    }
  | { readonly kind: 'break'; readonly replies: number }
  | { readonly kind: 'restart'; readonly isSeen: boolean }

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('store' as const), n: fc.nat(14) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('remove' as const), n: fc.nat(14) }) },
  { weight: 20, arbitrary: fc.record({ kind: fc.constant('deliver' as const) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('answer' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'lose' as const,
        'copy' as const,
        'swap' as const,
        'quiet' as const,
        'refill' as const,
        'clear' as const,
        'give-up' as const,
      ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('break' as const), replies: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), isSeen: fc.boolean() }) },
)

function play(acts: readonly Act[], bufferMax: number): { engine: Engine; sub: Subscription } {
  const engine = new Engine(bufferMax)
  const sub = new Subscription()
  let wire: EventMessage[] = []
  const send = (message: EventMessage | null) => message && wire.push(message)
  sub.stream.connected()
  for (const step of acts) {
    if (step.kind === 'store' || step.kind === 'remove') send(engine.step(step.n, step.kind === 'store'))
    else if (step.kind === 'clear') send(engine.clear())
    else if (step.kind === 'deliver' && wire[0]) sub.stream.receive(wire.shift()!)
    else if (step.kind === 'lose') wire.shift()
    else if (step.kind === 'copy' && wire[0]) sub.stream.receive(wire[0])
    else if (step.kind === 'swap' && wire.length > 1) wire = [wire[1]!, wire[0]!, ...wire.slice(2)]
    else if (step.kind === 'quiet') sub.stream.quiet()
    else if (step.kind === 'refill') sub.stream.refill()
    else if (step.kind === 'give-up' && sub.stream.isWaiting) sub.stream.giveUpReplay()
    else if (step.kind === 'answer') sub.answer(engine)
    else if (step.kind === 'break') sub.answer(engine, step.replies)
    else if (step.kind === 'restart') {
      engine.restart()
      if (step.isSeen) {
        wire = []
        sub.stream.disconnected()
        sub.stream.connected()
      }
    }
  }
  // The faults are over: what is on the wire arrives, then the engine is silent.
  for (const message of wire) sub.stream.receive(message)
  sub.settle(engine)
  sub.stream.quiet()
  sub.settle(engine)
  sub.stream.refill()
  sub.settle(engine)
  return { engine, sub }
}

test('after loss, copies, disorder and restarts the index is what the engine holds', () => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 150, size: 'max' }), (acts) => {
      const { engine, sub } = play(acts, 10_000)
      expect(sub.resident).toEqual(engine.resident)
    }),
    { numRuns: 3000 },
  )
})

test('where the engine keeps little for replay, nothing is claimed that it does not hold', () => {
  fc.assert(
    fc.property(
      fc.array(act, { maxLength: 150, size: 'max' }),
      fc.integer({ min: 1, max: 6 }),
      (acts, bufferMax) => {
        // A restart that nobody sees is told by old messages under new numbers: here they are gone.
        const seen = acts.map((one) => (one.kind === 'restart' ? { ...one, isSeen: true } : one))
        const { engine, sub } = play(seen, bufferMax)
        const truth = new Set(engine.resident)
        expect(sub.resident.filter((hash) => !truth.has(hash))).toEqual([])
      },
    ),
    { numRuns: 3000 },
  )
})
