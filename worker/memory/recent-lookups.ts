/**
 * Answers a moment old. The same question again is answered whole from the copy; another question of the model, when its
 * directory does not answer in time, by the load only: which prompt lies where is another question each time.
 */
import type { ClusterKnowledge, LookupRequest } from '../../protocol/lookup.ts'

/** How long an answer stands in. */
export const RECENT_LOOKUP_MS_MAX = 1000
/** How long it answers the same question again. */
export const LOOKUP_COPY_MS_MAX = 500

/** Models of regions; beyond it all are forgotten, which is a second's worth. */
const ANSWERS_MAX = 256
/** Copies, each in the place that its key names: the next that comes there takes it. A power of two. */
const COPIES_MAX = 4096

interface Answer {
  readonly clusters: readonly ClusterKnowledge[]
  readonly atMs: number
}

interface Copy extends Answer {
  readonly region: string
  readonly model: string
  /** The deepest marker stands for all before it: its offset and its PrefixKey. */
  readonly offset: number
  readonly lo: number
  readonly hi: number
}

export class RecentLookups {
  readonly #answers = new Map<string, Answer>()
  #copies: (Copy | null)[] = []

  remember(
    region: string,
    { model, markers }: LookupRequest,
    clusters: readonly ClusterKnowledge[],
    nowMs: number,
  ): void {
    const key = `${region} ${model}`
    if (!this.#answers.has(key) && this.#answers.size >= ANSWERS_MAX) this.#answers.clear()
    this.#answers.set(key, { clusters, atMs: nowMs })
    const last = markers.length - 3
    if (last < 0) return
    const [offset, lo, hi] = [
      markers[last] as number,
      markers[last + 1] as number,
      markers[last + 2] as number,
    ]
    // Made with the first: most isolates of a simulation never have one.
    if (this.#copies.length === 0) this.#copies = Array.from({ length: COPIES_MAX }, () => null)
    this.#copies[placeOf(lo)] = { region, model, offset, lo, hi, clusters, atMs: nowMs }
  }

  /** The answer to the very same question a moment ago, or null. */
  copy(region: string, { model, markers }: LookupRequest, nowMs: number): readonly ClusterKnowledge[] | null {
    const last = markers.length - 3
    const copy = last < 0 ? undefined : this.#copies[placeOf(markers[last + 1] as number)]
    if (!copy || nowMs - copy.atMs > LOOKUP_COPY_MS_MAX) return null
    const isSame =
      copy.lo === markers[last + 1] &&
      copy.hi === markers[last + 2] &&
      copy.offset === markers[last] &&
      copy.model === model &&
      copy.region === region
    return isSame ? copy.clusters.map((cluster) => aged(cluster, nowMs - copy.atMs)) : null
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

/** PrefixKeys are keyed hashes: their low bits are uniform already. */
function placeOf(lo: number): number {
  return lo & (COPIES_MAX - 1)
}
