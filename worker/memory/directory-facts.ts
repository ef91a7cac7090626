/** What a directory object has said of clusters and models lately: `protocol/lookup-packing.ts`. */
import type { ClusterKnowledge } from '../../protocol/lookup.ts'
import {
  applyUpdate,
  unpackAnswers,
  type ClusterFacts,
  type FactsUpdate,
  type LookupAnswer,
} from '../../protocol/lookup-packing.ts'

/** Models remembered of one object; beyond it all are told anew. */
const MODELS_MAX = 64
/** Versions remembered of one model: calls that are in the air at once rest on different ones. */
const VERSIONS_MAX = 16

interface ModelFacts {
  newest: number
  readonly byVersion: Map<number, readonly ClusterFacts[]>
}

export class DirectoryFacts {
  readonly #models = new Map<string, ModelFacts>()

  /** The newest facts of each of these models, which the object need not tell again; 0: none. */
  versions(models: readonly string[]): number[] {
    return models.map((model) => this.#models.get(model)?.newest ?? 0)
  }

  /** The answers to questions of `models`; null when they rest on facts that are not here. */
  unpack(models: readonly string[], answer: LookupAnswer): ClusterKnowledge[][] | null {
    const { factsVersion, facts } = answer
    for (const update of facts) this.#learn(update, factsVersion)
    return unpackAnswers(
      models,
      answer,
      (model) => this.#models.get(model)?.byVersion.get(factsVersion) ?? null,
    )
  }

  #learn(update: FactsUpdate, version: number): void {
    const { model } = update
    const before = this.#models.get(model)
    const facts = applyUpdate(update, (base) => before?.byVersion.get(base))
    if (facts === null) return
    const known = before ?? { newest: version, byVersion: new Map<number, readonly ClusterFacts[]>() }
    if (!before) {
      if (this.#models.size >= MODELS_MAX) this.#models.clear()
      this.#models.set(model, known)
    }
    known.byVersion.delete(version)
    known.byVersion.set(version, facts)
    // Another life of the object begins anywhere; what came last is the newest then, too.
    known.newest = version
    if (known.byVersion.size <= VERSIONS_MAX) return
    const oldest = known.byVersion.keys().next()
    if (!oldest.done) known.byVersion.delete(oldest.value)
  }
}
