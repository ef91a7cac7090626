/** One request inside the engine: what was asked, how far it is, and which blocks it holds. */
import { answerToken } from '../model/answer.ts'
import { IM_END } from '../model/vocabulary.ts'
import { BlockHashes } from './block-hash.ts'

/** KV that lies ready on another engine for this prompt. */
export interface RemoteKv {
  /** What the prefill engine had cached; the decode engine reports it as its own `cached_tokens`. */
  readonly cachedTokens: number
}

export interface EngineRequest {
  readonly id: string
  readonly prompt: Uint32Array
  readonly maxTokens: number
  readonly minTokens: number
  readonly ignoreEos: boolean
  /** Decides the words of the answer. */
  readonly seed: number
  readonly salt: string | null
  readonly sessionId: string | null
  /** Announce reused blocks again (`kv_cache_report_mode: full`). */
  readonly isReportFull: boolean
  /** The prefill leg of a hand-off: the blocks stay pinned under a lease when it ends. */
  readonly isProducer: boolean
  /** The decode leg of a hand-off. */
  readonly remote: RemoteKv | null
}

export type FinishReason = 'stop' | 'length'
export type SequenceState = 'waiting' | 'loading' | 'running' | 'finished'
/** Where KV comes from that the engine loads instead of computing. */
export type LoadSource = 'dram' | 'remote'

/** Mutable by the engine only; readers of a step's outputs use `lastToken`, `outputTokens` and `finish`. */
export class Sequence {
  readonly request: EngineRequest
  readonly promptTokens: number
  readonly arrivalMs: number
  readonly hashes: BlockHashes
  /** Prompt and answer. */
  tokens: Uint32Array
  length: number
  /** Tokens whose KV is on the GPU, those of the running step included. */
  computed = 0
  blocks: number[] = []
  /** Leading blocks that are cached under their hash. */
  cachedBlocks = 0
  /** Leading blocks that were offered to the DRAM tier. */
  offloadedBlocks = 0
  /** Prompt tokens that need no computing, known from admission on. */
  cachedTokens = 0
  /** Of those, what came from DRAM or another engine. */
  loadedTokens = 0
  isAdmitted = false
  /** Its cached prefix is pinned. */
  isPrepared = false
  state: SequenceState = 'waiting'
  loadSource: LoadSource | null = null
  loadEndMs = 0
  /** Tokens of the running step. */
  scheduled = 0
  lastToken = 0
  finish: FinishReason | null = null
  admittedMs = 0
  firstTokenMs = 0
  lastTokenMs = 0
  /** Between the last token and the one before it. */
  gapMs = 0
  preemptions = 0

  constructor(request: EngineRequest, blockTokens: number, nowMs: number) {
    this.request = request
    this.promptTokens = request.prompt.length
    this.tokens = request.prompt
    this.length = request.prompt.length
    this.arrivalMs = nowMs
    this.hashes = new BlockHashes(blockTokens, request.salt, Math.ceil(this.length / blockTokens))
  }

  get outputTokens(): number {
    return this.length - this.promptTokens
  }

  /** Says the next token of the answer; the reason when it is the last. */
  sample(lengthMax: number, nowMs: number): FinishReason | null {
    const { seed, ignoreEos, minTokens, maxTokens } = this.request
    const index = this.outputTokens
    if (index === 0) this.firstTokenMs = nowMs
    else this.gapMs = nowMs - this.lastTokenMs
    this.lastTokenMs = nowMs
    this.append(answerToken(seed, index, !ignoreEos && index >= minTokens))
    if (this.lastToken === IM_END) this.finish = 'stop'
    else if (index + 1 >= maxTokens || this.length >= lengthMax) this.finish = 'length'
    return this.finish
  }

  private append(token: number): void {
    if (this.length === this.tokens.length) {
      const spare = Math.max(16, Math.min(this.request.maxTokens, this.length))
      const grown = new Uint32Array(this.length + spare)
      grown.set(this.tokens)
      this.tokens = grown
    }
    this.tokens[this.length] = token
    this.length++
    this.lastToken = token
  }
}
