/**
 * What a call is told of the live clusters. All but the depth of a prompt is the same for every question of a call, so it is
 * looked up once a call. A cluster that is not live is `unknown`: nothing is written of it.
 */
import { NIBBLE_COPIES, NIBBLE_TIER_MASK } from '../../core/tiers.ts'
import type { UnitWriter } from '../../protocol/code-units.ts'
import { CLUSTERS_MAX } from '../../protocol/ids.ts'
import type { LookupBatch } from '../../protocol/lookup.ts'
import { writeReading, type Reading } from '../../protocol/lookup-packing.ts'
import type { Knowledge } from './knowledge.ts'

interface ClusterReading extends Reading {
  cluster: string
  column: number
}

/** Used again with each call. */
export class Readings {
  readonly #knowledge: Knowledge
  readonly #readings: readonly ClusterReading[]
  #live = 0
  #isolate = 0
  #nowMs = 0

  constructor(knowledge: Knowledge) {
    this.#knowledge = knowledge
    this.#readings = Array.from({ length: CLUSTERS_MAX }, newReading)
  }

  /** A call of this isolate begins. */
  begin({ isolate, colo }: Pick<LookupBatch, 'isolate' | 'colo'>, nowMs: number): void {
    const { clusters, booked, paths, failures } = this.#knowledge
    this.#live = 0
    this.#isolate = isolate
    this.#nowMs = nowMs
    for (const { cluster, column, state, loads, heardMs } of clusters.all) {
      if (state !== 'live') continue
      const reading = this.#readings[this.#live++] as ClusterReading
      reading.cluster = cluster
      reading.column = column
      reading.ageMs = Math.max(0, nowMs - heardMs)
      reading.loadAgeMs = loads.ageMs(nowMs)
      reading.isFailing = failures.isFailing(cluster, nowMs)
      reading.rttMs = paths.estimateMs(colo, cluster, nowMs)
      reading.othersBookedMs = booked.booked(cluster, loads.heardMs, isolate, nowMs)
    }
  }

  /** Writes what is known of each live cluster, in the order of all, for a prompt with these markers. */
  write(out: UnitWriter, markers: Uint32Array): void {
    const { map, booked } = this.#knowledge
    const { offsetBytes, nibbles } = map.match(markers)
    const speculativeBytes = booked.speculativeBytes(markers, this.#isolate, this.#nowMs)
    for (let at = 0; at < this.#live; at++) {
      const reading = this.#readings[at] as ClusterReading
      const nibble = nibbles[reading.column] as number
      reading.matchedBytes = offsetBytes[reading.column] as number
      reading.tier = nibble & NIBBLE_TIER_MASK
      reading.hasCopies = (nibble & NIBBLE_COPIES) !== 0
      reading.speculativeBytes =
        speculativeBytes === null ? null : (speculativeBytes.get(reading.cluster) ?? null)
      writeReading(out, reading)
    }
  }
}

function newReading(): ClusterReading {
  return {
    cluster: '',
    column: 0,
    matchedBytes: 0,
    tier: 0,
    hasCopies: false,
    ageMs: 0,
    loadAgeMs: 0,
    isFailing: false,
    speculativeBytes: null,
    rttMs: null,
    othersBookedMs: [],
  }
}
