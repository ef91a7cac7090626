/** The residency map in this process: what a key costs, at a million entries. */
import { ResidencyMap } from '../../directory/residency/residency-map.ts'
import { benchKey } from '../directory-keys.ts'
import { CLUSTERS, ENTRIES, MARKERS, median, ROUNDS, round3, timed } from './figures.ts'

/** Millions a second, each the median of rounds, at a million entries. */
export function measureMap() {
  const map = new ResidencyMap(2 ** 21)
  const lo = new Uint32Array(ENTRIES)
  const hi = new Uint32Array(ENTRIES)
  for (let i = 0; i < ENTRIES; i++) [lo[i], hi[i]] = benchKey(i)
  const fill = (round: number) => {
    for (let i = 0; i < ENTRIES; i++) {
      map.set(lo[i] as number, hi[i] as number, (i + round) % CLUSTERS, 1 + (round & 1))
    }
  }
  fill(0)
  const updates: number[] = []
  const lookups: number[] = []
  const markers = new Uint32Array(MARKERS * 3)
  const prompts = 20_000
  for (let round = 1; round <= ROUNDS; round++) {
    const fillMs = timed(() => fill(round))
    updates.push(ENTRIES / fillMs / 1000)
    const lookupMs = timed(() => {
      for (let prompt = 0; prompt < prompts; prompt++) {
        for (let i = 0; i < MARKERS; i++) {
          const at = (prompt * MARKERS + i * 7919) % ENTRIES
          markers[i * 3] = (i + 1) * 256
          // The deeper half is nowhere.
          markers[i * 3 + 1] = i < MARKERS / 2 ? (lo[at] as number) : ~(lo[at] as number) >>> 0
          markers[i * 3 + 2] = hi[at] as number
        }
        map.match(markers)
      }
    })
    lookups.push((prompts * MARKERS) / lookupMs / 1000)
  }
  const full = new ResidencyMap(2 ** 21)
  for (let i = 0; i < full.entriesMax; i++) full.set(...benchKey(i), i % CLUSTERS, 1)
  const clearMs = timed(() => full.clearColumn(0))
  return {
    updatesMPerS: round3(median(updates)),
    lookupKeysMPerS: round3(median(lookups)),
    bytesASlot: full.bytes / 2 ** 21,
    bytesAnEntryWhenFull: round3(full.bytes / full.entriesMax),
    entriesMax: full.entriesMax,
    clearColumnMs: round3(clearMs),
  }
}
