import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ClusterKnowledge } from '../../protocol/lookup.ts'
import { decodeAnswer, unpackAnswers } from '../../protocol/lookup-packing.ts'
import type { ModelLoad } from '../../protocol/report.ts'
import { DirectoryFacts } from '../../worker/memory/directory-facts.ts'
import { factsOf, packAnswers, wholeFacts } from '../support/pack-answers.ts'

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
        const unpacked = (news: Parameters<typeof packAnswers>[2]) =>
          facts.unpack(batch.models, decodeAnswer(packAnswers(answers, version, news))!)
        expect(unpacked({ facts: wholeFacts(batch.models, answers) })).toEqual(answers)
        // The same answer again travels without its facts.
        expect(unpacked(null)).toEqual(answers)
        for (const model of batch.models) expect(facts.versions([model])).toEqual([version])
      }
    }),
  )
})

const KNOWN: ClusterKnowledge = {
  cluster: 'b',
  state: 'known',
  matchedBytes: 256,
  tier: 1,
  ageMs: 3,
  draining: false,
  offer: null,
  load: load('m', 1),
  loadAgeMs: 4,
}

test('of facts that the isolate has, only what changed travels', () => {
  const facts = new DirectoryFacts()
  const first: ClusterKnowledge[] = [{ cluster: 'a', state: 'unknown' }, KNOWN]
  facts.unpack(['m'], decodeAnswer(packAnswers([first], 7, { facts: wholeFacts(['m'], [first]) }))!)
  const second: ClusterKnowledge[] = [
    { cluster: 'a', state: 'unknown' },
    { ...KNOWN, load: load('m', 9) },
  ]
  const change = { model: 'm', base: 7, clusters: [[1, factsOf(second[1]!)] as const] }
  const changed = decodeAnswer(packAnswers([second], 8, { facts: [change] }))!
  expect(facts.unpack(['m'], changed)).toEqual([second])
  expect(facts.versions(['m', 'n'])).toEqual([8, 0])
  // A call that departed before still rests on what it was told then.
  expect(facts.unpack(['m'], decodeAnswer(packAnswers([first], 7, null))!)).toEqual([first])
  // An isolate without the base cannot follow.
  expect(new DirectoryFacts().unpack(['m'], changed)).toBeNull()
  const beyond = { ...change, clusters: [[2, factsOf(second[1]!)] as const] }
  const misplaced = decodeAnswer(packAnswers([second], 9, { facts: [beyond] }))!
  expect(facts.unpack(['m'], misplaced)).toBeNull()
})

test('readings that do not fit the facts are no answer', () => {
  const answer = decodeAnswer(packAnswers([[KNOWN]], 1, null))!
  const of = (count: number) => () => Array.from({ length: count }, () => factsOf(KNOWN))
  expect(unpackAnswers(['a'], answer, of(1))).toEqual([[KNOWN]])
  expect(unpackAnswers(['a'], answer, () => null)).toBeNull()
  expect(unpackAnswers(['a'], answer, of(0))).toBeNull()
  expect(unpackAnswers(['a'], answer, of(2))).toBeNull()
  expect(unpackAnswers(['a', 'a'], answer, of(1))).toBeNull()
})
