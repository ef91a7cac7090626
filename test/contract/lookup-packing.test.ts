import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ClusterKnowledge } from '../../protocol/lookup.ts'
import { packAnswers, unpackAnswers } from '../../protocol/lookup-packing.ts'
import type { ModelLoad } from '../../protocol/report.ts'
import { DirectoryFacts } from '../../worker/memory/directory-facts.ts'

const MODELS = ['a', 'b'] as const
const load = (model: string, backlogMs: number): ModelLoad => ({
  model,
  backlogMs,
  kvPressure: 0,
  handoffMs: 0,
  endpoints: 1,
  bytesPerToken: 4,
})

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })
const numbers = fc.record({
  matchedBytes: fc.nat(),
  tier: fc.nat(7),
  ageMs: fc.nat(),
  loadAgeMs: fc.nat(),
  othersSpeculativeBytes: optional(fc.nat()),
  rttMs: optional(fc.nat()),
  othersBookedMs: optional(fc.array(fc.nat(), { minLength: 1, maxLength: 3 })),
  isFailing: fc.constantFrom(undefined, true as const),
  copies: fc.constantFrom(undefined, 'several' as const),
})
/** For each cluster whether it is known, and for each question the numbers of it. */
const batches = fc
  .record({
    models: fc.array(fc.constantFrom(...MODELS), { minLength: 1, maxLength: 4 }),
    clusters: fc.array(fc.constantFrom('known', 'unknown', 'left'), { maxLength: 3 }),
  })
  .chain(({ models, clusters }) =>
    fc.record({
      models: fc.constant(models),
      clusters: fc.constant(clusters),
      backlogMs: fc.nat(100),
      numbers: fc.array(fc.array(numbers, { minLength: clusters.length, maxLength: clusters.length }), {
        minLength: models.length,
        maxLength: models.length,
      }),
    }),
  )

test('what is unpacked is what was packed, whatever of it the isolate has already', () => {
  fc.assert(
    fc.property(fc.array(batches, { maxLength: 6 }), (sent) => {
      const facts = new DirectoryFacts()
      for (const [version, batch] of sent.entries()) {
        const answers = batch.models.map((model, question) =>
          batch.clusters.map((kind, index): ClusterKnowledge => {
            const cluster = `cluster-${index}`
            if (kind !== 'known') {
              return { cluster, state: 'unknown', ...(kind === 'left' ? { hasLeft: true } : {}) }
            }
            const known = { cluster, state: 'known', draining: false, offer: null } as const
            const defined = Object.fromEntries(
              Object.entries(batch.numbers[question]?.[index] ?? {}).filter(
                ([, value]) => value !== undefined,
              ),
            )
            return { ...known, load: load(model, batch.backlogMs), ...defined } as ClusterKnowledge
          }),
        )
        // The same answer again travels without its facts.
        for (let times = 0; times < 2; times++) {
          const packed = packAnswers(batch.models, answers, version, facts.versions(batch.models))
          if (times === 1) expect(packed.facts).toEqual([])
          expect(facts.unpack(batch.models, structuredClone(packed))).toEqual(answers)
        }
      }
    }),
  )
})

test('numbers that do not fit the facts are no answer', () => {
  const packed = packAnswers(['a'], [[{ cluster: 'c', state: 'unknown' }]], 1, {})
  expect(unpackAnswers(['a'], packed, () => null)).toBeNull()
  expect(unpackAnswers(['a'], packed, () => [])).toBeNull()
  expect(unpackAnswers(['a', 'a'], packed, () => packed.facts[0]!.clusters)).toBeNull()
})
