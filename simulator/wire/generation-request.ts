/**
 * A chat or completion request as the simulated engine uses it, read with vLLM's checks in vLLM's order: schema, then
 * model, then prompt, then sampling parameters. Fields that change nothing in a simulator are accepted and ignored.
 */
import type { TemplateMessage } from '../model/chat-template.ts'
import type { EngineVersion } from './engine-version.ts'
import { badParameter, schemaError, unknownModel, type ErrorAnswer } from './errors.ts'
import { FieldReader, isObject } from './field-reader.ts'
import { readMessages } from './chat-messages.ts'
import { forcedText, type ForcedText } from './forced-text.ts'
import { checkCombinations, checkSampling } from './request-checks.ts'
import type { ResponseEcho } from './responses-voice.ts'

export type Prompt = string | readonly number[]

/** Limits of one request. */
export const PROMPTS_MAX = 64
export const CHOICES_MAX = 16
export const STOPS_MAX = 16

export interface GenerationRequest {
  readonly api: 'chat' | 'completions'
  /** The API that is answered: those that are not chat by name are read as chat. */
  readonly voice: 'chat' | 'completions' | 'responses' | 'messages'
  /** What the model is made to say; null: its own words. */
  readonly forced: ForcedText | null
  /** Responses only: the conversation as chat messages, and what an answer repeats. */
  readonly conversation: readonly unknown[]
  readonly echo: ResponseEcho | null
  /** Chat only. */
  readonly messages: readonly TemplateMessage[]
  readonly tools: readonly unknown[] | null
  readonly addGenerationPrompt: boolean
  /** Completions only; every prompt has its own choices. */
  readonly prompts: readonly Prompt[]
  readonly maxTokens: number | null
  readonly minTokens: number
  readonly ignoreEos: boolean
  readonly choices: number
  readonly stops: readonly string[]
  readonly temperature: number | null
  readonly isStream: boolean
  readonly includesUsage: boolean
  readonly hasContinuousUsage: boolean
  readonly streamInterval: number | null
  readonly returnsTokenIds: boolean
  readonly cacheSalt: string | null
  readonly sessionId: string | null
  readonly requestId: string | null
  readonly isReportFull: boolean
  readonly transfer: Readonly<Record<string, unknown>> | null
}

export type ReadResult =
  | { readonly ok: true; readonly request: GenerationRequest }
  | { readonly ok: false; readonly answer: ErrorAnswer }

/** Reads a parsed body. */
export function readGenerationRequest(
  api: 'chat' | 'completions',
  body: unknown,
  servedModel: string,
  version: EngineVersion,
): ReadResult {
  const route = api === 'chat' ? '/v1/chat/completions' : '/v1/completions'
  if (!isObject(body)) {
    const message = 'Input should be a valid dictionary or object to extract fields from'
    const issue = { type: 'model_attributes_type', path: ['body'], message, input: body }
    return { ok: false, answer: schemaError([issue], route, version) }
  }
  const fields = new FieldReader(body)
  const request = readFields(api, fields)
  if (fields.issues.length > 0) return { ok: false, answer: schemaError(fields.issues, route, version) }
  const model = fields.string('model')
  const answer =
    checkCombinations(fields, request, version) ??
    (model !== null && model !== '' && model !== servedModel
      ? unknownModel(model, servedModel, version)
      : null) ??
    checkLimits(request) ??
    checkSampling(request)
  return answer === null ? { ok: true, request } : { ok: false, answer }
}

function readFields(api: 'chat' | 'completions', fields: FieldReader): GenerationRequest {
  const isChat = api === 'chat'
  const streamOptions = fields.object('stream_options')
  const xargs = fields.object('vllm_xargs')
  const maxTokens = fields.integer('max_tokens')
  const stop = fields.raw('stop')
  fields.string('model')
  return {
    api,
    voice: api,
    forced: isChat ? forcedText(fields.body) : null,
    conversation: [],
    echo: null,
    messages: isChat ? readMessages(fields) : [],
    tools: isChat ? fields.array('tools') : null,
    addGenerationPrompt: fields.boolean('add_generation_prompt') ?? true,
    prompts: isChat ? [] : readPrompts(fields),
    maxTokens: isChat ? (fields.integer('max_completion_tokens') ?? maxTokens) : (maxTokens ?? 16),
    minTokens: Math.max(fields.integer('min_tokens') ?? 0, 0),
    ignoreEos: fields.boolean('ignore_eos') ?? false,
    choices: fields.integer('n') ?? 1,
    stops: (Array.isArray(stop) ? stop : [stop]).filter((text) => typeof text === 'string' && text !== ''),
    temperature: fields.float('temperature'),
    isStream: fields.boolean('stream') ?? false,
    includesUsage: streamOptions?.['include_usage'] === true,
    hasContinuousUsage: streamOptions?.['continuous_usage_stats'] === true,
    streamInterval: fields.integer('stream_interval'),
    returnsTokenIds: fields.boolean('return_token_ids') ?? false,
    cacheSalt: fields.string('cache_salt'),
    sessionId: fields.string('session_id'),
    requestId: fields.string('request_id'),
    isReportFull: xargs?.['kv_cache_report_mode'] === 'full',
    transfer: fields.object('kv_transfer_params'),
  }
}

/** A text, texts, token ids, or lists of token ids. */
function readPrompts(fields: FieldReader): readonly Prompt[] {
  const prompt = fields.raw('prompt')
  if (prompt === null) {
    fields.missing('prompt')
    return []
  }
  if (typeof prompt === 'string') return [prompt]
  if (Array.isArray(prompt)) {
    if (prompt.length === 0) return []
    if (prompt.every((item) => typeof item === 'string')) return prompt
    if (isTokens(prompt)) return [prompt]
    if (prompt.every(isTokens)) return prompt
  }
  fields.reject('prompt', 'string_type', 'Input should be a valid string')
  return []
}

function isTokens(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((token) => Number.isInteger(token) && token >= 0)
}

function checkLimits(request: GenerationRequest): ErrorAnswer | null {
  if (request.prompts.length > PROMPTS_MAX) {
    return badParameter(`At most ${PROMPTS_MAX} prompts are allowed in one request.`, 'prompt')
  }
  if (request.choices < 1 || request.choices > CHOICES_MAX) {
    return badParameter(
      `n must be between 1 and ${CHOICES_MAX}, got ${request.choices}.`,
      'n',
      String(request.choices),
    )
  }
  if (request.stops.length > STOPS_MAX) return badParameter(`At most ${STOPS_MAX} stop strings.`, 'stop')
  return null
}
