/**
 * Prompts made from block ids, so that shared ids are shared text: each block is one message of as many synthetic words
 * as it has tokens.
 */
import { syntheticWord } from '../../core/synthetic-words.ts'
import { blockTokens, sessionKey, type TraceRequest } from './trace.ts'
import { seededRandom } from './workload.ts'

export interface ReplayBody {
  readonly model: string
  readonly messages: readonly { readonly role: 'system' | 'user' | 'assistant'; readonly content: string }[]
  readonly max_tokens: number
  readonly ignore_eos: true
  readonly temperature: 0
  readonly stream: true
  readonly stream_options: { readonly include_usage: true }
  readonly stream_interval: number
  readonly prompt_cache_key: string
}

/** Tokens in one chunk of the answer: the first token still comes alone and at once. */
const STREAM_INTERVAL_TOKENS = 64

export function replayBody(request: TraceRequest, model: string): ReplayBody {
  return {
    model,
    messages: request.blockIds.map((id, index) => ({
      role: index === 0 ? 'system' : index % 2 === 1 ? 'user' : 'assistant',
      content: blockText(id, blockTokens(request, index)),
    })),
    max_tokens: request.outputTokens,
    ignore_eos: true,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
    stream_interval: STREAM_INTERVAL_TOKENS,
    prompt_cache_key: String(sessionKey(request)),
  }
}

/** `words` words that depend on the block's id alone; a shorter block of the same id is a prefix of a longer one. */
export function blockText(id: number, words: number): string {
  const random = seededRandom(id)
  let text = ''
  for (let i = 0; i < words; i++) text += ` ${syntheticWord(Math.floor(random() * 0x1_0000))}`
  return text
}
