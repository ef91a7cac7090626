/**
 * How clusters have served this isolate since it last asked a directory: successes, failures, and round trips by the
 * region of the edge. An isolate runs in one region; only local ones play several.
 */
import { SAMPLES_MAX, SIGHTINGS_MAX, type Sighting } from '../../protocol/lookup.ts'

/** Paths measured between two lookups. */
const PATHS_MAX = 256

export class Sightings {
  readonly #counts = new Map<string, { successes: number; failures: number }>()
  readonly #rttsMs = new Map<string, number[]>()

  success(cluster: string): void {
    const counts = this.#countsOf(cluster)
    counts.successes++
    // What came before a success says nothing any more.
    counts.failures = 0
  }

  failure(cluster: string): void {
    this.#countsOf(cluster).failures++
  }

  roundTrip(region: string, cluster: string, rttMs: number): void {
    const path = `${region} ${cluster}`
    const samples = this.#rttsMs.get(path) ?? []
    if (!this.#rttsMs.has(path) && this.#rttsMs.size >= PATHS_MAX) return
    this.#rttsMs.set(path, [...samples, rttMs].slice(-SAMPLES_MAX))
  }

  /** What a directory of `region` is told; each is told once. */
  take(region: string, clusters: readonly string[]): Sighting[] {
    const sightings = clusters.flatMap((cluster) => {
      const counts = this.#counts.get(cluster)
      const rttsMs = this.#rttsMs.get(`${region} ${cluster}`) ?? []
      this.#rttsMs.delete(`${region} ${cluster}`)
      if (!counts && rttsMs.length === 0) return []
      return [{ cluster, successes: counts?.successes ?? 0, failures: counts?.failures ?? 0, rttsMs }]
    })
    this.#counts.clear()
    return sightings.slice(0, SIGHTINGS_MAX)
  }

  #countsOf(cluster: string): { successes: number; failures: number } {
    const known = this.#counts.get(cluster)
    if (known) return known
    const counts = { successes: 0, failures: 0 }
    if (this.#counts.size < SIGHTINGS_MAX) this.#counts.set(cluster, counts)
    return counts
  }
}
