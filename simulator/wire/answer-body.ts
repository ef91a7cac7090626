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
    choices: choices.map((choice) => (isChat ? chatChoice(choice, tail, version) : textChoice(choice, tail))),
    service_tier: null,
    system_fingerprint: fingerprint,
    usage: wholeUsage(tail.usage, tail.hasDetails, version),
    ...(isChat ? { prompt_logprobs: null, prompt_token_ids: promptTokenIds, prompt_text: null } : {}),
    kv_transfer_params: tail.transfer,
    ...newer,
  }
}

function chatChoice(choice: AnswerChoice, { returnsTokenIds }: AnswerTail, version: EngineVersion): object {
  return {
    index: choice.index,
    message: {
      role: 'assistant',
      content: choice.text,
      refusal: null,
      annotations: null,
      audio: null,
      function_call: null,
      ...(isCurrent(version) ? {} : { tool_calls: [] }),
      reasoning: null,
    },
    logprobs: null,
    finish_reason: choice.finish,
    stop_reason: choice.stopReason,
    token_ids: returnsTokenIds ? choice.tokenIds : null,
    routed_experts: null,
  }
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
