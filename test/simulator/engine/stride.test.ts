import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { BlockSequence } from '../../../simulator/engine/block-sequence.ts'
import { engineProfileSchema } from '../../../simulator/engine/profile.ts'
import { strideMs, strideStepsAt } from '../../../simulator/engine/stride.ts'
import { Clock } from '../../../simulator/world/clock.ts'
import { EngineResidency, ResidencyLog } from '../../../simulator/world/residency.ts'
import { VirtualEngine } from '../../../simulator/world/virtual-engine.ts'

const arrival = fc.record({
  atMs: fc.nat(3000),
  family: fc.nat(3),
  promptTokens: fc.integer({ min: 1, max: 400 }),
  maxTokens: fc.integer({ min: 1, max: 60 }),
})

interface Seen {
  readonly firstMs: number
  readonly lastMs: number
  readonly cached: number
  readonly preemptions: number
}

/** Plays arrivals on one small engine; without strides every step is taken by itself. */
function play(
  arrivals: readonly { atMs: number; family: number; promptTokens: number; maxTokens: number }[],
  hasStrides: boolean,
): ReadonlyMap<number, Seen> {
  const profile = engineProfileSchema.parse({ blockTokens: 16, kvTokens: 1024, cpuKvTokens: 512 })
  const clock = new Clock()
  const seen = new Map<number, Seen>()
  const log = new EngineResidency(new ResidencyLog(), 0, () => clock.nowMs)
  const engine = new VirtualEngine(profile, clock, log, {
    onFirstToken: () => {},
    onPulled: () => {},
    onFinish: (sequence: BlockSequence) => {
      const { firstTokenMs, lastTokenMs, cachedTokens, preemptions } = sequence
      seen.set(sequence.request.number, {
        firstMs: firstTokenMs,
        lastMs: lastTokenMs,
        cached: cachedTokens,
        preemptions,
      })
    },
  })
  if (!hasStrides) {
    const { scheduler } = engine
    const startStep = scheduler.startStep.bind(scheduler)
    scheduler.startStep = (nowMs) => {
      const step = startStep(nowMs)
      return step && { ...step, moreSteps: 0 }
    }
  }
  for (const [number, { atMs, family, promptTokens, maxTokens }] of arrivals.entries()) {
    const blocks = Int32Array.from({ length: Math.floor(promptTokens / 16) }, (_, i) => family * 100 + i)
    clock.at(atMs, () => {
      const order = { id: String(number), number, promptTokens, blocks, maxTokens }
      const plain = { seed: 0, sessionId: null, isReportFull: false, isProducer: false, remote: null }
      engine.submit({ ...order, ...plain }, 0, 0)
    })
  }
  clock.run(() => false)
  return seen
}

test('strides give every token the time that single steps give it', () => {
  fc.assert(
    fc.property(fc.array(arrival, { minLength: 1, maxLength: 20, size: 'max' }), (arrivals) => {
      const strides = play(arrivals, true)
      const steps = play(arrivals, false)
      expect(strides.size).toBe(arrivals.length)
      for (const [number, seen] of strides) {
        const other = steps.get(number)!
        expect(seen.firstMs).toBeCloseTo(other.firstMs, 5)
        expect(seen.lastMs).toBeCloseTo(other.lastMs, 5)
        expect([seen.cached, seen.preemptions]).toEqual([other.cached, other.preemptions])
      }
    }),
    { numRuns: 200 },
  )
})

test('the steps of a stride are counted as time passes', () => {
  for (const slope of [0, 0.01, 0.5]) {
    for (let steps = 1; steps < 50; steps++) {
      const endMs = strideMs(13, slope, steps)
      expect(strideStepsAt(13, slope, endMs)).toBe(steps)
      expect(strideStepsAt(13, slope, endMs + 0.001)).toBe(steps + 1)
      expect(strideStepsAt(13, slope, endMs - 0.001)).toBe(steps)
    }
  }
})
