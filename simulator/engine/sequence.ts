/** One request inside the engine: how far it is, and which blocks it holds. What its tokens are is its subclass's. */
import type { Hashes } from './kv-log.ts'

/** KV that lies ready on another engine for this prompt: a prefill leg's, or a prefix that a peer has cached. */
export interface RemoteKv {
  /** What the prefill engine had cached; the decode engine reports it as its own `cached_tokens`. */
  readonly cachedTokens: number
  /** Leading tokens of the prompt that lie there; absent: all of it, as after a prefill leg. */
  readonly tokens?: number
}

/** What the scheduler must know of a request. */
export interface SequenceRequest {
  readonly id: string
  readonly maxTokens: number
  /** Decides the words of the answer. */
  readonly seed: number
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
export type LoadSource = 'tiers' | 'remote'

/** Mutable by the engine only; readers of a step's outputs use `outputTokens` and `finish`. */
export abstract class Sequence<H> {
  abstract readonly request: SequenceRequest
  abstract readonly hashes: Hashes<H>
  readonly promptTokens: number
  readonly arrivalMs: number
  /** Tokens of prompt and answer. */
  length: number
  /** Tokens whose KV is on the GPU, those of the running step included. */
  computed = 0
  blocks: number[] = []
  /** Leading blocks that are cached under their hash. */
  cachedBlocks = 0
  /** Leading blocks that were offered to the lower tiers. */
  offloadedBlocks = 0
  /** Prompt tokens that need no computing, known from admission on. */
  cachedTokens = 0
  /** Of those, what came from a lower tier or another engine. */
  loadedTokens = 0
  /** Of those, what comes from each lower tier. */
  tierTokens: readonly number[] = []
  isAdmitted = false
  /** Its cached prefix is pinned. */
  isPrepared = false
  state: SequenceState = 'waiting'
  loadSource: LoadSource | null = null
  /** Tokens of the running step. */
  scheduled = 0
  finish: FinishReason | null = null
  admittedMs = 0
  /** When its load ended, or when it was admitted. */
  loadedMs = 0
  firstTokenMs = 0
  lastTokenMs = 0
  /** Between the last token and the one before it. */
  gapMs = 0
  /** By how much a load of this sequence stalls: a fault that virtual time injects. */
  loadStallMs = 0
  preemptions = 0

  constructor(promptTokens: number, nowMs: number) {
    this.promptTokens = promptTokens
    this.length = promptTokens
    this.arrivalMs = nowMs
  }

  get outputTokens(): number {
    return this.length - this.promptTokens
  }

  /** Names every full block of the first `length` tokens. */
  abstract extendHashes(length: number): void

  /** Adds `tokens` tokens of the answer. */
  abstract grow(tokens: number): void

  /** Whether the last token ends the answer by itself. */
  abstract get isEnded(): boolean

  /** Back to the queue; its blocks are let go by who holds the space. */
  preempt(): void {
    this.preemptions++
    this.state = 'waiting'
    this.computed = 0
    this.isPrepared = false
  }

  /** Says the next token of the answer; the reason when it is the last. */
  sample(lengthMax: number, nowMs: number): FinishReason | null {
    const index = this.outputTokens
    if (index === 0) this.firstTokenMs = nowMs
    else this.gapMs = nowMs - this.lastTokenMs
    this.lastTokenMs = nowMs
    this.grow(1)
    if (this.isEnded) this.finish = 'stop'
    else if (index + 1 >= this.request.maxTokens || this.length >= lengthMax) this.finish = 'length'
    return this.finish
  }
}
