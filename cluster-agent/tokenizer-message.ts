/** What the learner and the tokenizer's thread say to each other. Bytes and arrays are handed over, not copied. */
import type { HashKey } from '../core/half-sip-hash.ts'
import type { PromptApi } from '../protocol/apis.ts'

export interface TokenizerSetup {
  /** Folder of each model's files, by the name that the engines serve. */
  readonly folders: Readonly<Record<string, string>>
}

interface Work {
  readonly model: string
  readonly api: PromptApi
  /** The request as JSON. */
  readonly body: Uint8Array<ArrayBuffer>
}

/** A prompt whose markers are known. */
export interface PromptWork extends Work {
  readonly kind: 'prompt'
  readonly markers: Uint32Array<ArrayBuffer>
}

/** A request and its answer: the conversation as the client will send it back. */
export interface AnswerWork extends Work {
  readonly kind: 'answer'
  readonly key: HashKey
  readonly answer: Uint8Array<ArrayBuffer>
  readonly isStream: boolean
}

export type TokenizerWork = PromptWork | AnswerWork

/** One prompt understood. */
export interface Understood {
  readonly tokens: Uint32Array<ArrayBuffer>
  /** u32 triples as in core/prefix-markers.ts. */
  readonly markers: Uint32Array<ArrayBuffer>
  /** For each marker: tokens that are certain up to it. */
  readonly certain: Uint32Array<ArrayBuffer>
  /** Canonical bytes of a prompt that was tokenised whole, for the ratio; 0 otherwise. */
  readonly promptBytes: number
}

export interface TokenizerBatch {
  readonly id: number
  readonly works: readonly TokenizerWork[]
}

export interface TokenizerReply {
  readonly id: number
  /** One for each work, in order. */
  readonly results: readonly TokenizerResult[]
}

export type TokenizerResult = { readonly understood: readonly Understood[] } | { readonly error: string }
