/**
 * Round trips from each edge location to each cluster, as isolates there measured them: the median of the last samples,
 * which half of them would have to distort.
 */
export const SAMPLES_KEPT = 31
/** An estimate of fewer samples is none. */
export const SAMPLES_MIN = 3
/** A path that nobody measured for this long may have changed. */
export const PATH_MS_MAX = 600_000
/** Paths remembered; the least recently measured go first. */
export const PATHS_MAX = 1024
/** Anything longer is no round trip but a queue. */
const RTT_MS_MAX = 10_000

interface Path {
  readonly samples: Float64Array
  count: number
  medianMs: number
  measuredMs: number
}

export class PathTimes {
  readonly #paths = new Map<string, Path>()

  note(colo: string, cluster: string, rttMs: number, nowMs: number): void {
    if (colo === '' || !(rttMs >= 0 && rttMs <= RTT_MS_MAX)) return
    const name = `${colo} ${cluster}`
    const path = this.#paths.get(name) ?? {
      samples: new Float64Array(SAMPLES_KEPT),
      count: 0,
      medianMs: 0,
      measuredMs: nowMs,
    }
    if (nowMs - path.measuredMs > PATH_MS_MAX) path.count = 0
    path.samples[path.count % SAMPLES_KEPT] = rttMs
    path.count++
    path.measuredMs = nowMs
    const sorted = path.samples.slice(0, Math.min(path.count, SAMPLES_KEPT)).sort()
    path.medianMs = sorted[sorted.length >> 1] ?? 0
    this.#paths.delete(name)
    this.#paths.set(name, path)
    if (this.#paths.size <= PATHS_MAX) return
    const oldest = this.#paths.keys().next()
    if (!oldest.done) this.#paths.delete(oldest.value)
  }

  /** null when too few have measured it, or none for long. */
  estimateMs(colo: string, cluster: string, nowMs: number): number | null {
    if (this.#paths.size === 0) return null
    const path = this.#paths.get(`${colo} ${cluster}`)
    if (!path || path.count < SAMPLES_MIN || nowMs - path.measuredMs > PATH_MS_MAX) return null
    return path.medianMs
  }
}
