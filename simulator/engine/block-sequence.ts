/**
 * A sequence in virtual time: no tokens, only the numbers of its blocks. Equal numbers at the start of two sequences are
 * a prefix that they share. Blocks of an answer that nobody asks for again get numbers of their own.
 */
import type { Hashes } from './kv-log.ts'
import { Sequence, type SequenceRequest } from './sequence.ts'

/** Numbers from here on name blocks that only their own sequence knows. */
export const OWN_BLOCKS_FROM = 2 ** 40
/** Own numbers of one sequence: more blocks than the longest one has. */
const OWN_BLOCKS_MAX = 2 ** 20

export interface BlockRequest extends SequenceRequest {
  /** Number of the request in its run. */
  readonly number: number
  readonly promptTokens: number
  /** The full blocks of the prompt and, where later prompts hold the answer too, of both. */
  readonly blocks: Int32Array
}

export class BlockSequence extends Sequence<number> implements Hashes<number> {
  readonly request: BlockRequest
  private readonly blockNumbers: Int32Array
  private readonly ownFrom: number

  constructor(request: BlockRequest, nowMs: number) {
    super(request.promptTokens, nowMs)
    this.request = request
    this.blockNumbers = request.blocks
    this.ownFrom = OWN_BLOCKS_FROM + request.number * OWN_BLOCKS_MAX
  }

  get hashes(): Hashes<number> {
    return this
  }

  key(block: number): number {
    return block < this.blockNumbers.length ? (this.blockNumbers[block] ?? 0) : this.ownFrom + block
  }

  value(block: number): number {
    return this.key(block)
  }

  override extendHashes(): void {}

  override get isEnded(): boolean {
    return false
  }

  override grow(tokens: number): void {
    this.length += tokens
  }
}
