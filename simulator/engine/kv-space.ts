/** The KV space of one engine: pool and lower tiers, what a sequence holds of them, and what is told of it. */
import { BlockPool, NO_BLOCK } from './block-pool.ts'
import type { KvLog } from './kv-log.ts'
import { LowerTiers } from './lower-tiers.ts'
import { usableBlocks, type EngineProfile } from './profile.ts'
import type { Sequence } from './sequence.ts'

/** What of a prompt is already there. */
export interface PrefixMatch {
  readonly gpuBlocks: readonly number[]
  /** Blocks behind those, by lower tier. */
  readonly tierBlocks: readonly number[]
}

export class KvSpace<H, S extends Sequence<H>> {
  readonly pool: BlockPool<H>
  readonly lower: LowerTiers<H>
  readonly log: KvLog<H, S>
  private readonly blockTokens: number

  constructor(profile: EngineProfile, reusesUnhashedFirst: boolean, log: KvLog<H, S>) {
    this.pool = new BlockPool(usableBlocks(profile), reusesUnhashedFirst)
    this.lower = new LowerTiers(profile)
    this.log = log
    this.blockTokens = profile.blockTokens
  }

  blocksFor(tokens: number): number {
    return Math.ceil(tokens / this.blockTokens)
  }

  /** Blocks that the sequence still lacks for the tokens it has. */
  missingBlocks(sequence: S): number {
    return Math.max(this.blocksFor(sequence.length) - sequence.blocks.length, 0)
  }

  /** Blocks that prompts in progress still need: chunks are allocated one by one. */
  reservedBlocks(running: readonly S[], waiting: readonly S[]): number {
    let blocks = 0
    for (const sequence of running) blocks += this.missingBlocks(sequence)
    for (const sequence of waiting) if (sequence.isPrepared) blocks += this.missingBlocks(sequence)
    return blocks
  }

  /** The longest cached prefix, short of the last token: the engine needs its logits. */
  match(sequence: S): PrefixMatch {
    const { hashes } = sequence
    sequence.extendHashes(sequence.length)
    const limit = Math.floor((sequence.length - 1) / this.blockTokens)
    const gpuBlocks: number[] = []
    while (gpuBlocks.length < limit) {
      const block = this.pool.find(hashes.key(gpuBlocks.length))
      if (block === NO_BLOCK) break
      gpuBlocks.push(block)
    }
    const tierBlocks = this.lower.tiers.map(() => 0)
    for (let end = gpuBlocks.length; end < limit && tierBlocks.length > 0; end++) {
      const tier = this.lower.find(hashes.key(end))
      if (tier < 0) break
      tierBlocks[tier] = (tierBlocks[tier] ?? 0) + 1
    }
    return { gpuBlocks, tierBlocks }
  }

  /** Free blocks that would be left for new data once the match is pinned. */
  freeBehind(match: PrefixMatch): number {
    let unpinned = 0
    for (const block of match.gpuBlocks) if (this.pool.isFree(block)) unpinned++
    return this.pool.free - unpinned
  }

  /** Pins the GPU part of a match as the start of the sequence. */
  pin(sequence: S, match: PrefixMatch): void {
    for (const block of match.gpuBlocks) this.pool.touch(block)
    sequence.blocks = [...match.gpuBlocks]
    sequence.cachedBlocks = match.gpuBlocks.length
    if (sequence.request.isReportFull && match.gpuBlocks.length > 0) {
      this.log.stored(sequence, 0, match.gpuBlocks.length, null)
    }
  }

  /** Makes room for the first `tokens` tokens of the sequence; false, and nothing done, when the pool is exhausted. */
  allocate(sequence: S, tokens: number): boolean {
    const missing = this.blocksFor(tokens) - sequence.blocks.length
    if (missing <= 0) return true
    if (missing > this.pool.free) return false
    this.pool.take(missing, sequence.blocks, this.log)
    return true
  }

  /** Caches the full blocks of the first `tokens` tokens under their hashes. */
  cache(sequence: S, tokens: number): void {
    const full = Math.floor(tokens / this.blockTokens)
    const from = sequence.cachedBlocks
    if (full <= from) return
    sequence.extendHashes(full * this.blockTokens)
    for (let i = from; i < full; i++) {
      this.pool.register(sequence.blocks[i] ?? NO_BLOCK, sequence.hashes, i)
    }
    sequence.cachedBlocks = full
    this.log.stored(sequence, from, full, sequence.request.sessionId)
  }

  /** Copies the computed prompt blocks to the nearest lower tier; generated tokens stay on the GPU (`offload_prompt_only`). */
  offload(sequence: S): void {
    const end = Math.min(sequence.cachedBlocks, Math.floor(sequence.promptTokens / this.blockTokens))
    for (let i = sequence.offloadedBlocks; i < end; i++) this.lower.store(sequence.hashes, i, this.log)
    sequence.offloadedBlocks = Math.max(sequence.offloadedBlocks, end)
  }

  /** Lets go of everything the sequence holds. */
  release(sequence: S): void {
    this.pool.release(sequence.blocks)
    sequence.blocks = []
    sequence.cachedBlocks = 0
  }

  /** Resets the GPU prefix cache; the event leaves with the next step's batch, as vLLM's does. */
  reset(): boolean {
    if (!this.pool.reset()) return false
    this.log.cleared()
    return true
  }
}
