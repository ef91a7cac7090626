/**
 * Measured round trips from this isolate's edge region to each cluster: the time to the response headers without what the
 * agent says it took. Until one is measured the configured figure stands in.
 */
import { Sightings } from './sightings.ts'

/** Weight of a sample. The mean is what a request pays: where connections are opened anew, two ways and not one. */
const SAMPLE_WEIGHT = 0.1
/** A sample counts at most this multiple of the estimate and this much more: one retransmission is no new route. */
const SAMPLE_FACTOR_MAX = 3
const SAMPLE_EXCESS_MS_MAX = 20
/** Where neither measurement nor configuration says anything. */
const RTT_MS_SAME_REGION = 5
const RTT_MS_OTHER_REGION = 150
const PAIRS_MAX = 1024

export class RoundTrips {
  readonly #sightings: Sightings
  readonly #estimates = new Map<string, number>()

  /** `sightings` tells the directory of each sample. */
  constructor(sightings: Sightings = new Sightings()) {
    this.#sightings = sightings
  }

  /** The estimate in ms; `seedMs` is the configured figure. */
  estimateMs(edgeRegion: string, cluster: string, seedMs: number | undefined, isSameRegion: boolean): number {
    return (
      this.#estimates.get(`${edgeRegion} ${cluster}`) ??
      seedMs ??
      (isSameRegion ? RTT_MS_SAME_REGION : RTT_MS_OTHER_REGION)
    )
  }

  /** `estimateMs` is what was expected before the sample. */
  record(edgeRegion: string, cluster: string, sampleMs: number, estimateMs: number): void {
    if (!(sampleMs >= 0)) return
    this.#sightings.roundTrip(edgeRegion, cluster, sampleMs)
    const pair = `${edgeRegion} ${cluster}`
    if (!this.#estimates.has(pair) && this.#estimates.size >= PAIRS_MAX) return
    const capped = Math.min(sampleMs, estimateMs * SAMPLE_FACTOR_MAX + SAMPLE_EXCESS_MS_MAX)
    this.#estimates.set(pair, estimateMs + SAMPLE_WEIGHT * (capped - estimateMs))
  }
}
