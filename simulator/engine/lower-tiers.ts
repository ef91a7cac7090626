/**
 * The tiers behind one engine's GPU, nearest first. Prompt blocks are copied to the first right after they are computed;
 * what a tier has no room for sinks to the next, least recently used first. Nothing is taken out by a load.
 */
import { TIERS } from '../../core/tiers.ts'
import type { TierCost } from '../../protocol/report.ts'
import type { Hashes } from './kv-log.ts'
import type { EngineProfile } from './profile.ts'

export interface LowerTier {
  /** Number in core/tiers.ts. */
  readonly number: number
  readonly blocksMax: number
  readonly cost: TierCost
}

/** The tiers that a profile has behind its GPU. */
export function lowerTiersOf(profile: EngineProfile): LowerTier[] {
  const { cpuKvTokens, cpuBytesPerMs, blockTokens } = profile
  const cpu = { name: 'cpu', kvTokens: cpuKvTokens, floorMs: 0, bytesPerMs: cpuBytesPerMs }
  return [cpu, ...profile.lowerTiers].flatMap(({ name, kvTokens, floorMs, bytesPerMs }) => {
    const number = TIERS.find((tier) => tier.name === name)?.number
    const blocksMax = Math.floor(kvTokens / blockTokens)
    return number === undefined || blocksMax === 0
      ? []
      : [{ number, blocksMax, cost: { floorMs, bytesPerMs } }]
  })
}

interface Told<H> {
  removed(hash: H, tier: number): void
  offloaded(hash: H, tier: number): void
}

/** Blocks of each tier by key; a Map keeps insertion order, which serves as the LRU order. */
export class LowerTiers<H> {
  readonly tiers: readonly LowerTier[]
  private readonly entries: readonly Map<number, H>[]

  constructor(profile: EngineProfile) {
    this.tiers = lowerTiersOf(profile)
    this.entries = this.tiers.map(() => new Map())
  }

  /** The index of the nearest tier that holds the block, or -1. */
  find(key: number): number {
    for (let tier = 0; tier < this.entries.length; tier++) if (this.entries[tier]?.has(key)) return tier
    return -1
  }

  /** Copies a block to the nearest tier, or renews it there. */
  store(hashes: Hashes<H>, index: number, log: Told<H>): void {
    if (this.tiers.length === 0) return
    const key = hashes.key(index)
    const near = this.entries[0]
    const known = near?.get(key)
    if (near && known !== undefined) {
      near.delete(key)
      near.set(key, known)
      return
    }
    this.put(0, key, hashes.value(index), log)
  }

  /** Each block of a tier, the least recently used first. */
  residentHashes(tier = 0): H[] {
    return [...(this.entries[tier]?.values() ?? [])]
  }

  private put(at: number, key: number, hash: H, log: Told<H>): void {
    const tier = this.tiers[at]
    const entries = this.entries[at]
    if (!tier || !entries) return
    const isKnown = entries.delete(key)
    if (entries.size >= tier.blocksMax) {
      const oldest = entries.entries().next()
      if (!oldest.done) {
        const [oldKey, oldHash] = oldest.value
        entries.delete(oldKey)
        log.removed(oldHash, tier.number)
        this.put(at + 1, oldKey, oldHash, log)
      }
    }
    entries.set(key, hash)
    if (!isKnown) log.offloaded(hash, tier.number)
  }
}
