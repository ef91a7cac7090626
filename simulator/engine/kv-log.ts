/**
 * Where the KV space tells what became resident and what went. On real wires it gathers events for a batch; in virtual
 * time it notes when each block changed. `H` is how a block is named there: a 64-bit hash, or a number.
 */
import type { Sequence } from './sequence.ts'

/** The names of consecutive blocks of one sequence. */
export interface Hashes<H> {
  /** The block's name as a number, the key of a map. */
  key(block: number): number
  value(block: number): H
}

export interface KvLog<H, S extends Sequence<H>> {
  /** Blocks `from` to `end` of the sequence are resident on the GPU; a null session is not told. */
  stored(sequence: S, from: number, end: number, sessionId: string | null): void
  /** `tier`: number in core/tiers.ts. */
  removed(hash: H, tier: number): void
  offloaded(hash: H, tier: number): void
  cleared(): void
}
