/** Whole answers of `/v1/chat/completions` and `/v1/completions`, with every null that vLLM writes. */
import { isCurrent, type EngineVersion } from './engine-version.ts'
import { wholeUsage, type Usage } from './usage.ts'

/** What every answer and chunk of one request has in common. */
export interface AnswerHead {
  readonly api: 'chat' | 'completions'
  readonly id: string
  readonly createdS: number
  readonly model: string
  readonly version: EngineVersion
  readonly fingerprint: string
  /** A tool that the model is made to call: what it says are the arguments. */
  readonly tool: ToolCall | null
  /** Of what the Responses API calls an output item. */
  readonly itemId: string
}

export interface ToolCall {
  readonly id: string
  readonly name: string
}

export interface AnswerChoice {
  readonly index: number
  readonly text: string
  readonly finish: string
  readonly stopReason: string | null
  readonly tokenIds: readonly number[]
  /** Of its own prompt; null unless asked for. */
  readonly promptTokenIds: readonly number[] | null
}

export interface AnswerTail {
  readonly usage: Usage
  readonly hasDetails: boolean
  readonly returnsTokenIds: boolean
  readonly transfer: object | null
}

export function answerBody(head: AnswerHead, choices: readonly AnswerChoice[], tail: AnswerTail): object {
  const { api, id, createdS, model, version, fingerprint } = head
  const isChat = api === 'chat'
  const newer = isCurrent(version) ? { ec_transfer_params: null, metrics: null } : {}
  const promptTokenIds = choices[0]?.promptTokenIds ?? null
  return {
    id,
    object: isChat ? 'chat.completion' : 'text_completion',
    created: createdS,
    model,
    choices: choices.map((choice) => (isChat ? chatChoice(choice, tail, head) : textChoice(choice, tail))),
    service_tier: null,
    system_fingerprint: fingerprint,
    usage: wholeUsage(tail.usage, tail.hasDetails, version),
    ...(isChat ? { prompt_logprobs: null, prompt_token_ids: promptTokenIds, prompt_text: null } : {}),
    kv_transfer_params: tail.transfer,
    ...newer,
  }
}

function chatChoice(
  choice: AnswerChoice,
  { returnsTokenIds }: AnswerTail,
  { version, tool }: AnswerHead,
): object {
  const calls = tool ? [toolCall(tool, choice.text)] : isCurrent(version) ? null : []
  return {
    index: choice.index,
    message: {
      role: 'assistant',
      content: tool ? null : choice.text,
      refusal: null,
      annotations: null,
      audio: null,
      function_call: null,
      ...(calls === null ? {} : { tool_calls: calls }),
      reasoning: null,
    },
    logprobs: null,
    finish_reason: chatFinish(choice.finish, tool),
    stop_reason: choice.stopReason,
    token_ids: returnsTokenIds ? choice.tokenIds : null,
    routed_experts: null,
  }
}

export function toolCall({ id, name }: ToolCall, args: string): object {
  return { id, type: 'function', function: { name, arguments: args } }
}

export function chatFinish(finish: string, tool: ToolCall | null): string {
  return tool && finish === 'stop' ? 'tool_calls' : finish
}

function textChoice(choice: AnswerChoice, { returnsTokenIds }: AnswerTail): object {
  return {
    index: choice.index,
    text: choice.text,
    logprobs: null,
    finish_reason: choice.finish,
    stop_reason: choice.stopReason,
    token_ids: returnsTokenIds ? choice.tokenIds : null,
    prompt_logprobs: null,
    prompt_token_ids: choice.promptTokenIds,
    routed_experts: null,
  }
}
