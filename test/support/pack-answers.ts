/** Answers of a directory that is none, as they cross the wire: everything is news. */
import { UnitWriter, unitsToText } from '../../protocol/code-units.ts'
import type { ClusterKnowledge } from '../../protocol/lookup.ts'
import {
  beginAnswer,
  writeReading,
  type ClusterFacts,
  type FactsUpdate,
  type News,
} from '../../protocol/lookup-packing.ts'

export function factsOf(knowledge: ClusterKnowledge): ClusterFacts {
  const { cluster, state } = knowledge
  if (state === 'unknown') {
    return { cluster, state, hasLeft: knowledge.hasLeft === true, draining: false, offer: null, load: null }
  }
  const { draining, offer, load } = knowledge
  return { cluster, state, hasLeft: false, draining, offer, load }
}

/** Every model whole, from its first answer. */
export function wholeFacts(
  models: readonly string[],
  answers: readonly (readonly ClusterKnowledge[])[],
): FactsUpdate[] {
  return [...new Set(models)].map((model) => ({
    model,
    base: null,
    clusters: (answers[models.indexOf(model)] ?? []).map((known, index) => [index, factsOf(known)]),
  }))
}

export function packAnswers(
  answers: readonly (readonly ClusterKnowledge[])[],
  factsVersion: number,
  news: News | null,
): string {
  const out = new UnitWriter()
  beginAnswer(out, factsVersion, news)
  for (const known of answers.flat()) {
    if (known.state === 'unknown') continue
    writeReading(out, {
      matchedBytes: known.matchedBytes,
      tier: known.tier,
      hasCopies: known.copies === 'several',
      ageMs: known.ageMs,
      loadAgeMs: known.loadAgeMs,
      isFailing: known.isFailing === true,
      speculativeBytes: known.othersSpeculativeBytes ?? null,
      rttMs: known.rttMs ?? null,
      othersBookedMs: known.othersBookedMs ?? [],
    })
  }
  return unitsToText(out)
}
