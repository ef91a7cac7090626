/**
 * Server-sent events of one streamed request. Only the text, the finish and the counts change from chunk to chunk, so
 * a chunk is pasted together from parts that are serialised once.
 */
import { chatFinish, toolCall, type AnswerHead } from './answer-body.ts'
import type { StreamVoice } from './voice.ts'
import { finalUsage, runningUsage, type Usage } from './usage.ts'

export const STREAM_END = 'data: [DONE]\n\n'

export interface StreamShape {
  readonly includesUsage: boolean
  readonly hasContinuousUsage: boolean
  readonly returnsTokenIds: boolean
  readonly hasDetails: boolean
}

export interface ChunkDelta {
  readonly index: number
  readonly text: string
  readonly tokenIds: readonly number[]
  readonly finish: string | null
  readonly stopReason: string | null
  readonly promptTokens: number
  readonly completionTokens: number
  /** Completions give them on a choice's first chunk. */
  readonly promptTokenIds: readonly number[] | null
}

/** Writes the events of one request. */
export class ChunkWriter implements StreamVoice {
  private readonly head: AnswerHead
  private readonly shape: StreamShape
  private readonly prefix: string
  private hasCalled = false

  constructor(head: AnswerHead, shape: StreamShape) {
    this.head = head
    this.shape = shape
    const { api, id, createdS, model } = head
    const object = api === 'chat' ? 'chat.completion.chunk' : 'text_completion'
    const common = JSON.stringify({ id, object, created: createdS, model }).slice(0, -1)
    this.prefix = `data: ${common},"choices":[`
  }

  /** The chunk with the role that opens each choice of a chat. */
  open(index: number, promptTokens: number, promptTokenIds: readonly number[] | null): string {
    const ids = JSON.stringify(this.shape.returnsTokenIds ? promptTokenIds : null)
    return (
      `${this.prefix}{"index":${index},"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]` +
      `${this.continuousUsage(promptTokens, 0)},"prompt_token_ids":${ids},"prompt_text":null}\n\n`
    )
  }

  delta(chunk: ChunkDelta): string {
    const { index, text, finish, promptTokens, completionTokens } = chunk
    const { tool } = this.head
    const content = tool ? this.toolDelta(text) : `"content":${JSON.stringify(text)}`
    const reason = finish === null ? 'null' : `"${chatFinish(finish, tool)}"`
    const stop = JSON.stringify(chunk.stopReason)
    const ids = this.shape.returnsTokenIds ? JSON.stringify(chunk.tokenIds) : 'null'
    const usage = this.continuousUsage(promptTokens, completionTokens)
    // Without a usage chunk the fingerprint is on the last content chunk.
    const isLast = finish !== null && !this.shape.includesUsage
    const end = isLast ? `,"system_fingerprint":"${this.head.fingerprint}"}\n\n` : '}\n\n'
    if (this.head.api === 'chat') {
      const stopField = finish === null ? '' : `,"stop_reason":${stop}`
      return `${this.prefix}{"index":${index},"delta":{${content}},"logprobs":null,"finish_reason":${reason}${stopField},"token_ids":${ids}}]${usage}${end}`
    }
    const promptIds = JSON.stringify(this.shape.returnsTokenIds ? chunk.promptTokenIds : null)
    return `${this.prefix}{"index":${index},"text":${JSON.stringify(text)},"logprobs":null,"finish_reason":${reason},"stop_reason":${stop},"prompt_token_ids":${promptIds},"token_ids":${ids}}]${usage}${end}`
  }

  /** What follows the last content: usage where it was asked for, and the end mark. */
  close(usage: Usage): string {
    if (!this.shape.includesUsage) return STREAM_END
    const { version, fingerprint } = this.head
    const told = JSON.stringify(finalUsage(usage, this.shape.hasDetails, version))
    return `${this.prefix}],"usage":${told},"system_fingerprint":"${fingerprint}"}\n\n${STREAM_END}`
  }

  error(body: unknown): string {
    return `data: ${JSON.stringify(body)}\n\n${STREAM_END}`
  }

  /** The call's name comes with the first of its arguments. */
  private toolDelta(text: string): string {
    const { tool } = this.head
    const call = tool && !this.hasCalled ? toolCall(tool, text) : { function: { arguments: text } }
    this.hasCalled = true
    return `"tool_calls":[${JSON.stringify({ ...call, index: 0 })}]`
  }

  private continuousUsage(promptTokens: number, completionTokens: number): string {
    if (!this.shape.hasContinuousUsage || !this.shape.includesUsage) return ''
    return `,"usage":${JSON.stringify(runningUsage(promptTokens, completionTokens, this.head.version))}`
  }
}
