/**
 * Answers a moment old. The same question again is answered whole from the copy; another question of the model, when its
 * directory does not answer in time, by the load only: which prompt lies where is another question each time.
 */
import { markerKeyNumber } from '../../core/key-number.ts'
import type { ClusterKnowledge, LookupRequest } from '../../protocol/lookup.ts'

/** How long an answer stands in. */
export const RECENT_LOOKUP_MS_MAX = 1000
/** How long it answers the same question again. */
export const LOOKUP_COPY_MS_MAX = 500

const ANSWERS_MAX = 256
const COPIES_MAX = 4096

interface Answer {
  readonly clusters: readonly ClusterKnowledge[]
  readonly atMs: number
}

export class RecentLookups {
  readonly #answers = new Map<string, Answer>()
  readonly #copies = new Map<string, Answer>()

  remember(
    region: string,
    { model, markers }: LookupRequest,
    clusters: readonly ClusterKnowledge[],
    nowMs: number,
  ): void {
    const answer = { clusters, atMs: nowMs }
    enter(this.#answers, `${region} ${model}`, answer, ANSWERS_MAX)
    if (markers.length > 0) enter(this.#copies, questionKey(region, model, markers), answer, COPIES_MAX)
  }

  /** The answer to the very same question a moment ago, or null. */
  copy(region: string, { model, markers }: LookupRequest, nowMs: number): readonly ClusterKnowledge[] | null {
    const copy = markers.length > 0 ? this.#copies.get(questionKey(region, model, markers)) : undefined
    if (!copy || nowMs - copy.atMs > LOOKUP_COPY_MS_MAX) return null
    return copy.clusters.map((cluster) => aged(cluster, nowMs - copy.atMs))
  }

  /** Load and offers as of a moment ago with no residency, or null when there is nothing recent. */
  recall(region: string, model: string, nowMs: number): readonly ClusterKnowledge[] | null {
    const recent = this.#answers.get(`${region} ${model}`)
    if (!recent || nowMs - recent.atMs > RECENT_LOOKUP_MS_MAX) return null
    return recent.clusters.map((cluster) => {
      const older = aged(cluster, nowMs - recent.atMs)
      if (older.state === 'unknown') return older
      const { othersSpeculativeBytes: _, ...rest } = older
      return { ...rest, matchedBytes: 0, tier: 0 }
    })
  }
}

function aged(cluster: ClusterKnowledge, elapsedMs: number): ClusterKnowledge {
  if (cluster.state === 'unknown') return cluster
  const olderMs = Math.max(0, elapsedMs)
  return { ...cluster, ageMs: cluster.ageMs + olderMs, loadAgeMs: cluster.loadAgeMs + olderMs }
}

/** The deepest marker stands for all before it. */
function questionKey(region: string, model: string, markers: Uint32Array): string {
  const last = markers.length - 3
  return `${region} ${model} ${markerKeyNumber(markers, last)} ${markers[last + 2]}`
}

function enter(answers: Map<string, Answer>, key: string, answer: Answer, answersMax: number): void {
  answers.delete(key)
  answers.set(key, answer)
  if (answers.size <= answersMax) return
  const oldest = answers.keys().next()
  if (!oldest.done) answers.delete(oldest.value)
}
