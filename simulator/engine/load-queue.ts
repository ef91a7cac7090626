/** Sequences whose KV is on its way from lower tiers or from another engine, over one shared channel each. */
import type { LowerTier } from './lower-tiers.ts'
import type { EngineProfile } from './profile.ts'
import type { Sequence } from './sequence.ts'
import { SharedChannel } from './shared-channel.ts'

export class LoadQueue<S extends Sequence<unknown>> {
  private readonly bytesPerToken: number
  private readonly tiers: readonly SharedChannel<S>[]
  private readonly remote: SharedChannel<S>
  /** Parts still to come, by sequence, in the order in which loads started. */
  private readonly parts = new Map<S, number>()

  constructor(profile: EngineProfile, tiers: readonly LowerTier[], speed: number) {
    const scale = ({ floorMs, bytesPerMs }: { floorMs: number; bytesPerMs: number }) => ({
      floorMs: floorMs / speed,
      bytesPerMs: bytesPerMs * speed,
    })
    this.bytesPerToken = profile.kvBytesPerToken
    this.tiers = tiers.map(({ cost }) => new SharedChannel<S>(scale(cost)))
    this.remote = new SharedChannel<S>(scale(profile.transfer))
  }

  get size(): number {
    return this.parts.size
  }

  get nextEndMs(): number | null {
    if (this.parts.size === 0) return null
    const endsMs = [this.remote, ...this.tiers].flatMap((channel) => channel.nextEndMs() ?? [])
    return endsMs.length === 0 ? null : Math.min(...endsMs)
  }

  start(sequence: S, nowMs: number): void {
    sequence.state = 'loading'
    if (sequence.loadSource === 'remote') {
      this.remote.start(sequence, sequence.loadedTokens * this.bytesPerToken, nowMs)
      this.parts.set(sequence, 1)
      return
    }
    let parts = 0
    for (const [tier, tokens] of sequence.tierTokens.entries()) {
      if (tokens === 0) continue
      this.tiers[tier]?.start(sequence, tokens * this.bytesPerToken, nowMs, sequence.loadStallMs)
      parts++
    }
    this.parts.set(sequence, parts)
  }

  delete(sequence: S): void {
    if (!this.parts.delete(sequence)) return
    for (const channel of [this.remote, ...this.tiers]) channel.delete(sequence)
  }

  /** Takes out what has arrived. */
  takeEnded(nowMs: number): S[] {
    if (this.parts.size === 0) return []
    const ended: S[] = []
    for (const channel of [this.remote, ...this.tiers]) {
      for (const sequence of channel.takeEnded(nowMs)) {
        const left = (this.parts.get(sequence) ?? 1) - 1
        this.parts.set(sequence, left)
        if (left > 0) continue
        this.parts.delete(sequence)
        ended.push(sequence)
      }
    }
    return ended
  }
}
