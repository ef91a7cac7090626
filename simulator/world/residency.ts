/**
 * Which block lies where, as somebody sees it who hears of changes late. One log of changes a cluster; each view applies
 * it behind its own delay and keeps one word a block and tier, a bit for each endpoint: a prompt is matched at all
 * endpoints at once. It stands for the agents' index and the directories, which `test/simulator/world` holds it to.
 */
import { TIERS } from '../../core/tiers.ts'
import { OWN_BLOCKS_FROM } from '../engine/block-sequence.ts'
import type { KvLog } from '../engine/kv-log.ts'
import type { BlockSequence } from '../engine/block-sequence.ts'

/** One bit each. */
export const ENDPOINTS_MAX = 32
export const TIER_COUNT = TIERS.length
/** Changes that are kept before those which every view has applied are dropped. */
const LOG_TRIM = 65_536

/** The changes of one cluster's endpoints, oldest first. */
export class ResidencyLog {
  readonly timesMs: number[] = []
  /** endpoint, tier and whether it came: packed. A tier of 0 means that the endpoint lost everything. */
  readonly codes: number[] = []
  readonly blocks: number[] = []
  /** Number of the first change that is still kept. */
  first = 0
  private readonly readers: { cursor: number }[] = []

  get end(): number {
    return this.first + this.timesMs.length
  }

  read(): { cursor: number } {
    const reader = { cursor: this.end }
    this.readers.push(reader)
    return reader
  }

  push(nowMs: number, endpoint: number, tier: number, isStored: boolean, block: number): void {
    this.timesMs.push(nowMs)
    this.codes.push((endpoint << 4) | (tier << 1) | (isStored ? 1 : 0))
    this.blocks.push(block)
    if (this.timesMs.length % LOG_TRIM === 0) this.trim()
  }

  private trim(): void {
    let least = this.end
    for (const { cursor } of this.readers) least = Math.min(least, cursor)
    const drop = least - this.first
    if (drop <= 0) return
    this.timesMs.splice(0, drop)
    this.codes.splice(0, drop)
    this.blocks.splice(0, drop)
    this.first = least
  }
}

/** The KV log of one virtual engine. */
export class EngineResidency implements KvLog<number, BlockSequence> {
  private readonly log: ResidencyLog
  private readonly endpoint: number
  private readonly nowMs: () => number

  constructor(log: ResidencyLog, endpoint: number, nowMs: () => number) {
    this.log = log
    this.endpoint = endpoint
    this.nowMs = nowMs
  }

  stored(sequence: BlockSequence, from: number, end: number): void {
    const nowMs = this.nowMs()
    for (let i = from; i < end; i++) {
      const block = sequence.key(i)
      if (block < OWN_BLOCKS_FROM) this.log.push(nowMs, this.endpoint, 1, true, block)
    }
  }

  removed(hash: number, tier: number): void {
    if (hash < OWN_BLOCKS_FROM) this.log.push(this.nowMs(), this.endpoint, tier, false, hash)
  }

  offloaded(hash: number, tier: number): void {
    if (hash < OWN_BLOCKS_FROM) this.log.push(this.nowMs(), this.endpoint, tier, true, hash)
  }

  cleared(): void {
    this.log.push(this.nowMs(), this.endpoint, 0, false, 0)
  }
}

export interface ViewSource {
  readonly log: ResidencyLog
  readonly delayMs: number
  /** Changes set out together so often; 0: each at once. */
  readonly batchMs?: number
}

/** What somebody believes of all endpoints. */
export class ResidencyView {
  private readonly sources: readonly (ViewSource & { readonly reader: { cursor: number } })[]
  /** By tier number - 1. */
  private readonly words: readonly Uint32Array[]
  /** Copies on the GPU: an engine may hold one block twice. */
  private readonly copies = new Map<number, number>()
  private readonly isLost: () => boolean

  /** `isLost`: asked for each change, whether this view never hears of it. */
  constructor(sources: readonly ViewSource[], blockCount: number, isLost: () => boolean = () => false) {
    this.sources = sources.map((source) => ({ ...source, reader: source.log.read() }))
    this.words = TIERS.map(() => new Uint32Array(blockCount))
    this.isLost = isLost
  }

  /** Hears everything that has reached it by now. */
  advance(nowMs: number): void {
    for (const { log, delayMs, batchMs = 0, reader } of this.sources) {
      const sentMs = nowMs - delayMs
      const untilMs = batchMs > 0 ? Math.floor(sentMs / batchMs) * batchMs : sentMs
      let at = reader.cursor - log.first
      for (; at < log.timesMs.length && (log.timesMs[at] ?? Infinity) <= untilMs; at++) {
        if (!this.isLost()) this.apply(log.codes[at] ?? 0, log.blocks[at] ?? 0)
      }
      reader.cursor = at + log.first
    }
  }

  /**
   * The longest prefix of `blocks` at each endpoint of `endpoints` (a bit each): for endpoint e and tier t the number of
   * blocks at `into[e * TIER_COUNT + t - 1]`. A run never comes back to a nearer tier.
   */
  match(blocks: Int32Array, limit: number, endpoints: number, into: Int32Array): void {
    into.fill(0)
    const at = this.reach
    at.fill(0)
    at[0] = endpoints
    const count = Math.min(limit, blocks.length)
    let open = endpoints
    for (let i = 0; i < count && open !== 0; i++) {
      const block = blocks[i] ?? 0
      let falling = 0
      for (let tier = 0; tier < TIER_COUNT; tier++) {
        const here = ((at[tier] ?? 0) | falling) >>> 0
        if (here === 0) continue
        const stay = (here & (this.words[tier]?.[block] ?? 0)) >>> 0
        falling = (here & ~stay) >>> 0
        at[tier] = stay
        for (let rest = stay; rest !== 0; rest &= rest - 1) {
          const slot = (31 - Math.clz32(rest & -rest)) * TIER_COUNT + tier
          into[slot] = (into[slot] ?? 0) + 1
        }
      }
      open = (open & ~falling) >>> 0
    }
  }

  /** Blocks of the longest prefix that lies on one tier (by number) of each of `endpoints`, wherever else it lies. Valid until the next call. */
  prefixOn(tier: number, blocks: Int32Array, limit: number, endpoints: number): Int32Array {
    const { held } = this
    held.fill(0)
    const words = this.words[tier - 1]
    const count = Math.min(limit, blocks.length)
    let open = endpoints
    for (let i = 0; i < count && open !== 0; i++) {
      open = (open & (words?.[blocks[i] ?? 0] ?? 0)) >>> 0
      for (let rest = open; rest !== 0; rest &= rest - 1) {
        const endpoint = 31 - Math.clz32(rest & -rest)
        held[endpoint] = (held[endpoint] ?? 0) + 1
      }
    }
    return held
  }

  private readonly held = new Int32Array(ENDPOINTS_MAX)
  private readonly reach = new Uint32Array(TIER_COUNT)

  private apply(code: number, block: number): void {
    const endpoint = code >> 4
    const tier = (code >> 1) & 7
    const bit = 1 << endpoint
    if (tier === 0) {
      for (const words of this.words) for (let i = 0; i < words.length; i++) words[i] = (words[i] ?? 0) & ~bit
      for (const key of this.copies.keys()) if (key % ENDPOINTS_MAX === endpoint) this.copies.delete(key)
      return
    }
    const words = this.words[tier - 1]
    if (!words) return
    const word = words[block] ?? 0
    const isStored = (code & 1) === 1
    if (tier === 1) {
      const key = block * ENDPOINTS_MAX + endpoint
      const more = this.copies.get(key) ?? 0
      if (isStored && (word & bit) !== 0) {
        this.copies.set(key, more + 1)
        return
      }
      if (!isStored && more > 0) {
        if (more === 1) this.copies.delete(key)
        else this.copies.set(key, more - 1)
        return
      }
    }
    words[block] = isStored ? word | bit : word & ~bit
  }
}
