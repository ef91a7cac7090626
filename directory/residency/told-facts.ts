/**
 * What clusters offer, how loaded they are and which are known, with a version for each change: an isolate says up to
 * which version it was told, and hears of what changed since. Changes are looked for when somebody asks, so whatever moves
 * a stream need not tell.
 */
import type { LookupBatch, LookupRequest } from '../../protocol/lookup.ts'
import type { ClusterFacts, FactsUpdate, News } from '../../protocol/lookup-packing.ts'
import type { ClusterStream } from './cluster-stream.ts'
import type { ClusterTable } from './cluster-table.ts'

/** Changes of facts in one life of an object: a heartbeat of 16 clusters every 200 ms for years. */
const FACTS_A_LIFE = 2 ** 32

export type DocumentVersions = Readonly<Record<string, number>>

/** A cluster as it was told of last. */
interface Told {
  readonly stream: ClusterStream
  standing: string
  revision: number
  /** When that was new. */
  version: number
}

const NOTHING_NOTED: DocumentVersions = {}

export class ToldFacts {
  readonly #clusters: ClusterTable
  readonly #firstVersion: number
  #version: number
  /** Who was told of fewer than this has another list of clusters. */
  #listVersion: number
  #documents = NOTHING_NOTED
  #documentsVersion: number
  #told: Told[] = []

  /** `life` tells this object's facts from those of its earlier lives: a whole number below 2^20. */
  constructor(clusters: ClusterTable, life: number) {
    this.#clusters = clusters
    this.#firstVersion = life * FACTS_A_LIFE + 1
    this.#version = this.#firstVersion
    this.#listVersion = this.#firstVersion
    this.#documentsVersion = this.#firstVersion
  }

  /** The version of all that is to be told now. */
  refresh(documents: DocumentVersions = NOTHING_NOTED): number {
    let at = 0
    let isSameList = true
    for (const stream of this.#clusters.all) if (this.#told[at++]?.stream !== stream) isSameList = false
    if (!isSameList || at !== this.#told.length) {
      this.#listVersion = ++this.#version
      this.#told = Array.from(this.#clusters.all, (stream) => ({
        stream,
        standing: standingOf(stream),
        revision: stream.loads.revision,
        version: this.#version,
      }))
    }
    for (const told of this.#told) {
      const standing = standingOf(told.stream)
      const { revision } = told.stream.loads
      if (told.standing === standing && told.revision === revision) continue
      told.standing = standing
      told.revision = revision
      told.version = ++this.#version
    }
    if (documents !== this.#documents) {
      this.#documents = documents
      this.#documentsVersion = ++this.#version
    }
    return this.#version
  }

  /** What an isolate that knows of each question's model the version `known` lacks to understand answers; null: nothing. */
  news({ questions, known }: Pick<LookupBatch, 'questions' | 'known'>): News | null {
    const facts: FactsUpdate[] = []
    let isUpToDate = false
    for (let at = 0; at < questions.length; at++) {
      const { model } = questions[at] as LookupRequest
      const base = this.#own(known[at])
      if (base !== null && base >= this.#documentsVersion) isUpToDate = true
      if (base === this.#version || facts.some((update) => update.model === model)) continue
      facts.push(this.#update(model, base))
    }
    const isDocumented = isUpToDate || this.#documents === NOTHING_NOTED
    if (facts.length === 0 && isDocumented) return null
    return { facts, ...(isDocumented ? {} : { versions: this.#documents }) }
  }

  /** The version that an isolate claims to know, when it is one of this life. */
  #own(version: number | undefined): number | null {
    if (version === undefined || version < this.#firstVersion || version > this.#version) return null
    return version >= this.#listVersion ? version : null
  }

  #update(model: string, base: number | null): FactsUpdate {
    const clusters = this.#told.flatMap(({ stream, version }, index) =>
      base === null || version > base ? [[index, factsOf(stream, model)] as const] : [],
    )
    return { model, base, clusters }
  }
}

/** What of a stream's state is told. */
function standingOf({ state }: ClusterStream): string {
  return state === 'live' || state === 'gone' ? state : 'absent'
}

function factsOf({ cluster, state, loads }: ClusterStream, model: string): ClusterFacts {
  if (state !== 'live') {
    return {
      cluster,
      state: 'unknown',
      hasLeft: state === 'gone',
      draining: false,
      offer: null,
      load: null,
    }
  }
  const { draining } = loads
  return {
    cluster,
    state: 'known',
    hasLeft: false,
    draining,
    offer: loads.offer(model),
    load: loads.load(model),
  }
}
