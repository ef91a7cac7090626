/**
 * `/v1/responses` as vLLM answers it: test/fixtures/vllm/v0.32.0/http-other-apis.json for the whole answer; the order of
 * events is OpenAI's, but that vLLM says `response.completed` of one that was cut too.
 */
import type { AnswerChoice, AnswerHead, AnswerTail } from './answer-body.ts'
import type { ChunkDelta } from './stream-chunk.ts'
import type { Usage } from './usage.ts'
import { typedEvent, type StreamVoice } from './voice.ts'

/** What an answer repeats of its request. */
export interface ResponseEcho {
  readonly instructions: string | null
  readonly previousResponseId: string | null
  readonly maxOutputTokens: number | null
  readonly temperature: number
  readonly tools: readonly unknown[]
  readonly metadata: unknown
  readonly isKept: boolean
  readonly isBackground: boolean
}

export function responsesBody(echo: ResponseEcho) {
  return (head: AnswerHead, [choice]: readonly AnswerChoice[], tail: AnswerTail) => {
    const isCut = choice?.finish === 'length'
    const item = itemOf(head, choice?.text ?? '', isCut ? 'incomplete' : 'completed')
    return responseObject(head, echo, { items: [item], isCut, tail })
  }
}

/** Before anything of it is made. */
export function queuedBody(head: AnswerHead, echo: ResponseEcho): { readonly status: string } {
  return { ...responseObject(head, echo, { items: [], isCut: false, tail: null }), status: 'queued' }
}

export class ResponsesVoice implements StreamVoice {
  private readonly head: AnswerHead
  private readonly echo: ResponseEcho
  private readonly itemId: string
  private text = ''
  private isCut = false
  private sequence = 0

  constructor(head: AnswerHead, echo: ResponseEcho) {
    this.head = head
    this.echo = echo
    this.itemId = itemId(head)
  }

  open(): string {
    const response = responseObject(this.head, this.echo, { items: [], isCut: false, tail: null })
    const { tool } = this.head
    const item = { ...itemOf(this.head, '', 'in_progress', this.itemId), ...(tool ? {} : { content: [] }) }
    const part = { annotations: [], text: '', type: 'output_text', logprobs: [] }
    return (
      this.event('response.created', { response }) +
      this.event('response.in_progress', { response }) +
      this.event('response.output_item.added', { output_index: 0, item }) +
      (tool ? '' : this.event('response.content_part.added', { ...this.at(), part }))
    )
  }

  delta({ text, finish }: ChunkDelta): string {
    if (finish === 'length') this.isCut = true
    this.text += text
    if (text === '') return ''
    return this.head.tool
      ? this.event('response.function_call_arguments.delta', {
          item_id: this.itemId,
          output_index: 0,
          delta: text,
        })
      : this.event('response.output_text.delta', { ...this.at(), delta: text, logprobs: [] })
  }

  close(usage: Usage): string {
    const { head, text } = this
    const item = itemOf(head, text, this.isCut ? 'incomplete' : 'completed', this.itemId)
    const part = { annotations: [], text, type: 'output_text', logprobs: null }
    const done = head.tool
      ? this.event('response.function_call_arguments.done', {
          item_id: this.itemId,
          output_index: 0,
          name: head.tool.name,
          arguments: text,
        })
      : this.event('response.output_text.done', { ...this.at(), text, logprobs: [] }) +
        this.event('response.content_part.done', { ...this.at(), part })
    const tail = { usage, hasDetails: true, returnsTokenIds: false, transfer: null }
    const response = responseObject(head, this.echo, { items: [item], isCut: this.isCut, tail })
    return (
      done +
      this.event('response.output_item.done', { output_index: 0, item }) +
      this.event('response.completed', { response })
    )
  }

  error(body: unknown): string {
    const { error } = body as { readonly error?: object }
    return this.event('error', { ...error })
  }

  private at(): object {
    return { item_id: this.itemId, output_index: 0, content_index: 0 }
  }

  private event(type: string, fields: object): string {
    return typedEvent(type, { ...fields, sequence_number: this.sequence++ })
  }
}

function itemId({ tool, itemId }: AnswerHead): string {
  return `${tool ? 'fc' : 'msg'}_${itemId}`
}

function itemOf(head: AnswerHead, text: string, status: string, id = itemId(head)): object {
  const { tool } = head
  if (tool) return { id, type: 'function_call', call_id: tool.id, name: tool.name, arguments: text, status }
  const content = [{ annotations: [], text, type: 'output_text', logprobs: null }]
  return { id, content, role: 'assistant', status, type: 'message', phase: null }
}

function responseObject(
  { id, createdS, model, tool }: AnswerHead,
  echo: ResponseEcho,
  {
    items,
    isCut,
    tail,
  }: { readonly items: readonly object[]; readonly isCut: boolean; readonly tail: AnswerTail | null },
) {
  return {
    id,
    created_at: createdS,
    incomplete_details: isCut ? { reason: 'max_output_tokens' } : null,
    instructions: echo.instructions,
    metadata: echo.metadata,
    model,
    object: 'response',
    output: items,
    parallel_tool_calls: true,
    temperature: echo.temperature,
    tool_choice: tool ? 'required' : echo.tools.length > 0 ? 'auto' : 'none',
    tools: echo.tools,
    top_p: 1.0,
    background: echo.isBackground,
    max_output_tokens: echo.maxOutputTokens,
    max_tool_calls: null,
    previous_response_id: echo.previousResponseId,
    prompt: null,
    reasoning: null,
    service_tier: 'auto',
    status: tail === null ? 'in_progress' : isCut ? 'incomplete' : 'completed',
    text: null,
    top_logprobs: null,
    truncation: 'disabled',
    usage: tail === null ? null : usageOf(tail.usage),
    user: null,
    presence_penalty: 0.0,
    frequency_penalty: 0.0,
    kv_transfer_params: tail?.transfer ?? null,
    ec_transfer_params: null,
    input_messages: null,
    output_messages: null,
  }
}

function usageOf({ promptTokens, completionTokens, cachedTokens }: Usage): object {
  return {
    input_tokens: promptTokens,
    input_tokens_details: {
      cached_tokens: cachedTokens,
      cache_write_tokens: 0,
      input_tokens_per_turn: [],
      cached_tokens_per_turn: [],
    },
    output_tokens: completionTokens,
    output_tokens_details: {
      reasoning_tokens: 0,
      tool_output_tokens: 0,
      output_tokens_per_turn: [],
      tool_output_tokens_per_turn: [],
    },
    total_tokens: promptTokens + completionTokens,
  }
}
