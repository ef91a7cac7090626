/** The KV space of one engine: pool and DRAM tier, what a sequence holds of them, and the events that this causes. */
import { BlockPool, NO_BLOCK } from './block-pool.ts'
import { DramTier } from './dram-tier.ts'
import type { KvEvent } from './kv-event.ts'
import { usableBlocks, type EngineProfile } from './profile.ts'
import type { Sequence } from './sequence.ts'

/** What of a prompt is already there. */
export interface PrefixMatch {
  readonly gpuBlocks: readonly number[]
  /** Blocks behind those that lie in DRAM. */
  readonly dramBlocks: number
}

/** Events gather here in order until `drainEvents`. */
export class KvSpace {
  readonly pool: BlockPool
  readonly dram: DramTier
  private readonly blockTokens: number
  private events: KvEvent[] = []

  constructor(profile: EngineProfile, reusesUnhashedFirst: boolean) {
    this.pool = new BlockPool(usableBlocks(profile), reusesUnhashedFirst)
    this.dram = new DramTier(Math.floor(profile.cpuKvTokens / profile.blockTokens))
    this.blockTokens = profile.blockTokens
  }

  blocksFor(tokens: number): number {
    return Math.ceil(tokens / this.blockTokens)
  }

  /** Blocks that the sequence still lacks for the tokens it has. */
  missingBlocks(sequence: Sequence): number {
    return Math.max(this.blocksFor(sequence.length) - sequence.blocks.length, 0)
  }

  /** The longest cached prefix, short of the last token: the engine needs its logits. */
  match(sequence: Sequence): PrefixMatch {
    const { hashes } = sequence
    hashes.extend(sequence.tokens, sequence.length)
    const limit = Math.floor((sequence.length - 1) / this.blockTokens)
    const gpuBlocks: number[] = []
    while (gpuBlocks.length < limit) {
      const block = this.pool.find(hashes.key(gpuBlocks.length))
      if (block === NO_BLOCK) break
      gpuBlocks.push(block)
    }
    let end = gpuBlocks.length
    while (end < limit && this.dram.has(hashes.key(end))) end++
    return { gpuBlocks, dramBlocks: end - gpuBlocks.length }
  }

  /** Free blocks that would be left for new data once the match is pinned. */
  freeBehind(match: PrefixMatch): number {
    let unpinned = 0
    for (const block of match.gpuBlocks) if (this.pool.isFree(block)) unpinned++
    return this.pool.free - unpinned
  }

  /** Pins the GPU part of a match as the start of the sequence. */
  pin(sequence: Sequence, match: PrefixMatch): void {
    for (const block of match.gpuBlocks) this.pool.touch(block)
    sequence.blocks = [...match.gpuBlocks]
    sequence.cachedBlocks = match.gpuBlocks.length
    if (sequence.request.isReportFull && match.gpuBlocks.length > 0) {
      this.announce(sequence, 0, match.gpuBlocks.length, null)
    }
  }

  /** Makes room for the first `tokens` tokens of the sequence; false, and nothing done, when the pool is exhausted. */
  allocate(sequence: Sequence, tokens: number): boolean {
    const missing = this.blocksFor(tokens) - sequence.blocks.length
    if (missing <= 0) return true
    if (missing > this.pool.free) return false
    this.pool.take(missing, sequence.blocks, this.events)
    return true
  }

  /** Caches the full blocks of the first `tokens` tokens under their hashes. */
  cache(sequence: Sequence, tokens: number): void {
    const full = Math.floor(tokens / this.blockTokens)
    const from = sequence.cachedBlocks
    if (full <= from) return
    sequence.hashes.extend(sequence.tokens, full * this.blockTokens)
    for (let i = from; i < full; i++) {
      this.pool.register(sequence.blocks[i] ?? NO_BLOCK, sequence.hashes, i)
    }
    sequence.cachedBlocks = full
    this.announce(sequence, from, full, sequence.request.sessionId)
  }

  /** Copies the computed prompt blocks to DRAM; generated tokens stay on the GPU (`offload_prompt_only`). */
  offload(sequence: Sequence): void {
    const end = Math.min(sequence.cachedBlocks, Math.floor(sequence.promptTokens / this.blockTokens))
    for (let i = sequence.offloadedBlocks; i < end; i++) this.dram.store(sequence.hashes, i, this.events)
    sequence.offloadedBlocks = Math.max(sequence.offloadedBlocks, end)
  }

  /** Lets go of everything the sequence holds. */
  release(sequence: Sequence): void {
    this.pool.release(sequence.blocks)
    sequence.blocks = []
    sequence.cachedBlocks = 0
  }

  /** Resets the GPU prefix cache; the event leaves with the next step's batch, as vLLM's does. */
  reset(): boolean {
    if (!this.pool.reset()) return false
    this.events.push({ kind: 'cleared' })
    return true
  }

  drainEvents(): KvEvent[] {
    const events = this.events
    if (events.length > 0) this.events = []
    return events
  }

  private announce(sequence: Sequence, from: number, end: number, sessionId: string | null): void {
    const { hashes, tokens, request } = sequence
    this.events.push({
      kind: 'stored',
      hashes: Array.from({ length: end - from }, (_, i) => hashes.value(from + i)),
      parent: from === 0 ? null : hashes.value(from - 1),
      tokens: tokens.slice(from * this.blockTokens, end * this.blockTokens),
      blockTokens: this.blockTokens,
      salt: request.salt,
      sessionId,
    })
  }
}
