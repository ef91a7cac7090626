/** `/v1/messages` as vLLM answers it: test/fixtures/vllm/v0.32.0/http-other-apis.json. */
import type { AnswerHead } from './answer-body.ts'
import type { ChunkDelta } from './stream-chunk.ts'
import type { Usage } from './usage.ts'
import { typedEvent, type StreamVoice, type WholeVoice } from './voice.ts'

export const messagesBody: WholeVoice = (head, [choice], { usage }) => {
  const { id, model, tool } = head
  const text = choice?.text ?? ''
  const content = tool
    ? { type: 'tool_use', id: tool.id, name: tool.name, input: parseArguments(text) }
    : { type: 'text', text }
  const stop = stopReason(head, choice?.finish ?? 'stop', choice?.stopReason ?? null)
  return {
    id,
    type: 'message',
    role: 'assistant',
    content: [content],
    model,
    stop_reason: stop.reason,
    ...(stop.sequence === null ? {} : { stop_sequence: stop.sequence }),
    usage: { ...promptUsage(usage), output_tokens: usage.completionTokens, ...cacheUsage(usage) },
  }
}

export class MessagesVoice implements StreamVoice {
  private readonly head: AnswerHead
  private finish = 'stop'
  private stopText: string | null = null

  constructor(head: AnswerHead) {
    this.head = head
  }

  open(_index: number, promptTokens: number): string {
    const { id, model, tool } = this.head
    const message = { id, type: 'message', role: 'assistant', content: [], model, stop_reason: null }
    const usage = { input_tokens: promptTokens, output_tokens: 0 }
    const block = tool
      ? { type: 'tool_use', id: tool.id, name: tool.name, input: {} }
      : { type: 'text', text: '' }
    return (
      typedEvent('message_start', { message: { ...message, stop_sequence: null, usage } }) +
      typedEvent('content_block_start', { content_block: block, index: 0 })
    )
  }

  delta({ text, finish, stopReason }: ChunkDelta): string {
    if (finish !== null) this.finish = finish
    this.stopText = stopReason
    if (text === '') return ''
    const delta = this.head.tool
      ? { type: 'input_json_delta', partial_json: text }
      : { type: 'text_delta', text }
    return typedEvent('content_block_delta', { delta, index: 0 })
  }

  close(usage: Usage): string {
    const { reason, sequence } = stopReason(this.head, this.finish, this.stopText)
    return (
      typedEvent('content_block_stop', { index: 0 }) +
      typedEvent('message_delta', {
        delta: { stop_reason: reason, stop_sequence: sequence },
        usage: { ...promptUsage(usage), output_tokens: usage.completionTokens, ...cacheUsage(usage) },
      }) +
      typedEvent('message_stop', {})
    )
  }

  error(body: unknown): string {
    return `event: error\ndata: ${JSON.stringify(body)}\n\n`
  }
}

function stopReason({ tool }: AnswerHead, finish: string, stopText: string | null) {
  if (finish === 'length') return { reason: 'max_tokens', sequence: null }
  if (stopText !== null) return { reason: 'stop_sequence', sequence: stopText }
  return { reason: tool ? 'tool_use' : 'end_turn', sequence: null }
}

function promptUsage({ promptTokens }: Usage): object {
  return { input_tokens: promptTokens }
}

function cacheUsage({ cachedTokens, createdTokens }: Usage): object {
  return { cache_creation_input_tokens: createdTokens ?? 0, cache_read_input_tokens: cachedTokens }
}

/** Arguments that were cut short are no JSON; vLLM then says none. */
function parseArguments(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}
