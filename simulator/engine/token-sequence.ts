/** A sequence of real tokens, as engines on real wires run it: its blocks are named by hashes of them. */
import { answerToken } from '../model/answer.ts'
import { IM_END } from '../model/vocabulary.ts'
import { BlockHashes } from './block-hash.ts'
import { Sequence, type SequenceRequest } from './sequence.ts'

export interface EngineRequest extends SequenceRequest {
  readonly prompt: Uint32Array
  readonly minTokens: number
  readonly ignoreEos: boolean
  readonly salt: string | null
}

/** Readers of a step's outputs also use `lastToken`. */
export class TokenSequence extends Sequence<bigint> {
  readonly request: EngineRequest
  readonly hashes: BlockHashes
  /** Prompt and answer. */
  tokens: Uint32Array
  lastToken = 0

  constructor(request: EngineRequest, blockTokens: number, nowMs: number) {
    super(request.prompt.length, nowMs)
    this.request = request
    this.tokens = request.prompt
    this.hashes = new BlockHashes(blockTokens, request.salt, Math.ceil(this.length / blockTokens))
  }

  override extendHashes(length: number): void {
    this.hashes.extend(this.tokens, length)
  }

  override get isEnded(): boolean {
    return this.lastToken === IM_END
  }

  override grow(tokens: number): void {
    for (let i = 0; i < tokens; i++) this.append()
  }

  private append(): void {
    const { seed, ignoreEos, minTokens, maxTokens } = this.request
    const index = this.outputTokens
    if (this.length === this.tokens.length) {
      const spare = Math.max(16, Math.min(maxTokens, this.length))
      const grown = new Uint32Array(this.length + spare)
      grown.set(this.tokens)
      this.tokens = grown
    }
    this.lastToken = answerToken(seed, index, !ignoreEos && index >= minTokens)
    this.tokens[this.length] = this.lastToken
    this.length++
  }
}
