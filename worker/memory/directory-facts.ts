/** What a directory object has said of clusters and models lately: `protocol/lookup-packing.ts`. */
import type { ClusterKnowledge } from '../../protocol/lookup.ts'
import {
  unpackAnswers,
  type ClusterFacts,
  type FactVersions,
  type PackedAnswers,
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

  /** What the object need not tell again for questions of these models. */
  versions(models: readonly string[]): FactVersions {
    return Object.fromEntries(
      models.flatMap((model) => {
        const known = this.#models.get(model)
        return known ? [[model, known.newest]] : []
      }),
    )
  }

  /** The answers to questions of `models`; null when they rest on facts that are not here. */
  unpack(models: readonly string[], packed: PackedAnswers): ClusterKnowledge[][] | null {
    for (const { model, clusters } of packed.facts) this.#learn(model, packed.factsVersion, clusters)
    return unpackAnswers(
      models,
      packed,
      (model) => this.#models.get(model)?.byVersion.get(packed.factsVersion) ?? null,
    )
  }

  #learn(model: string, version: number, clusters: readonly ClusterFacts[]): void {
    const known = this.#models.get(model) ?? {
      newest: version,
      byVersion: new Map<number, readonly ClusterFacts[]>(),
    }
    if (!this.#models.has(model)) {
      if (this.#models.size >= MODELS_MAX) this.#models.clear()
      this.#models.set(model, known)
    }
    known.byVersion.delete(version)
    known.byVersion.set(version, clusters)
    // Another life of the object begins anywhere; what came last is the newest then, too.
    known.newest = version
    if (known.byVersion.size <= VERSIONS_MAX) return
    const oldest = known.byVersion.keys().next()
    if (!oldest.done) known.byVersion.delete(oldest.value)
  }
}
