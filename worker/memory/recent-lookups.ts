/**
 * The last good answer of each directory, for the moment when it does not answer in time. Only its load serves then:
 * which prompt lies where is another question each time.
 */
import type { ClusterKnowledge } from '../../protocol/lookup.ts'

/** How long an answer stands in. */
export const RECENT_LOOKUP_MS_MAX = 1000

const ANSWERS_MAX = 256

interface Answer {
  readonly clusters: readonly ClusterKnowledge[]
  readonly atMs: number
}

export class RecentLookups {
  readonly #answers = new Map<string, Answer>()

  remember(region: string, model: string, clusters: readonly ClusterKnowledge[], nowMs: number): void {
    const key = `${region} ${model}`
    this.#answers.delete(key)
    this.#answers.set(key, { clusters, atMs: nowMs })
    if (this.#answers.size <= ANSWERS_MAX) return
    const oldest = this.#answers.keys().next()
    if (!oldest.done) this.#answers.delete(oldest.value)
  }

  /** Load and offers as of a moment ago with no residency, or null when there is nothing recent. */
  recall(region: string, model: string, nowMs: number): readonly ClusterKnowledge[] | null {
    const recent = this.#answers.get(`${region} ${model}`)
    if (!recent || nowMs - recent.atMs > RECENT_LOOKUP_MS_MAX) return null
    const elapsedMs = Math.max(0, nowMs - recent.atMs)
    return recent.clusters.map((cluster) =>
      cluster.state === 'unknown'
        ? cluster
        : {
            ...cluster,
            matchedBytes: 0,
            tier: 0,
            ageMs: cluster.ageMs + elapsedMs,
            loadAgeMs: cluster.loadAgeMs + elapsedMs,
          },
    )
  }
}
