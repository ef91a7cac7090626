/** Sequences whose KV is on its way from DRAM or from another engine. */
import { loadDurationMs } from './admission.ts'
import type { EngineProfile } from './profile.ts'
import type { LoadSource, Sequence } from './sequence.ts'

/** Loads run side by side, each at the full bandwidth of its source. */
export class LoadQueue {
  private readonly profile: EngineProfile
  private readonly speed: number
  private readonly sequences = new Set<Sequence>()

  constructor(profile: EngineProfile, speed: number) {
    this.profile = profile
    this.speed = speed
  }

  get size(): number {
    return this.sequences.size
  }

  get nextEndMs(): number | null {
    let earliest: number | null = null
    for (const { loadEndMs } of this.sequences) {
      if (earliest === null || loadEndMs < earliest) earliest = loadEndMs
    }
    return earliest
  }

  start(sequence: Sequence, source: LoadSource, nowMs: number): void {
    sequence.state = 'loading'
    sequence.loadEndMs = nowMs + loadDurationMs(this.profile, source, sequence.loadedTokens) / this.speed
    this.sequences.add(sequence)
  }

  delete(sequence: Sequence): void {
    this.sequences.delete(sequence)
  }

  /** Takes out what has arrived, in the order in which it was started. */
  takeEnded(nowMs: number): Sequence[] {
    if (this.sequences.size === 0) return []
    const ended = [...this.sequences].filter(({ loadEndMs }) => loadEndMs <= nowMs)
    for (const sequence of ended) this.sequences.delete(sequence)
    return ended
  }
}
