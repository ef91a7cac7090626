/** Requests of the Responses and Messages APIs, read as the chat that vLLM makes of them. */
import { chatForm } from '../../core/chat-form.ts'
import { isCurrent, type EngineVersion } from './engine-version.ts'
import { badParameter, errorAnswer, schemaError, unknownResponse } from './errors.ts'
import { isObject } from './field-reader.ts'
import { readGenerationRequest, type ReadResult } from './generation-request.ts'

type Json = Readonly<Record<string, unknown>>

const NO_STORE =
  'This vLLM engine does not support `store=True` and therefore does not support the background mode. To enable these features, set the environment variable `VLLM_ENABLE_RESPONSES_API_STORE=1` when launching the vLLM server.'

/** What the engine has kept. */
export interface KeptResponses {
  /** The conversation of an earlier response with its answer, as chat messages. */
  find(id: string): { readonly messages: readonly unknown[] } | null
}

/** Reads a parsed body. `store` null: the engine keeps no responses, so it makes none in the background. */
export function readOtherRequest(
  api: 'responses' | 'messages',
  body: unknown,
  servedModel: string,
  version: EngineVersion,
  store: KeptResponses | null,
): ReadResult {
  if (!isObject(body)) return readGenerationRequest('chat', body, servedModel, version)
  const form = chatForm(api, body)
  if (!form.ok) {
    const field = form.param.split('[')[0] ?? form.param
    const issue = { type: 'missing', path: ['body', field], message: 'Field required', input: body }
    return { ok: false, answer: schemaError([issue], `/v1/${api}`, version) }
  }
  const { previous_response_id: previous, background } = body
  if (api === 'responses' && background === true) {
    if (body['store'] === false) {
      return {
        ok: false,
        answer: badParameter('background can only be used when `store` is true', 'background'),
      }
    }
    if (store === null) {
      return { ok: false, answer: errorAnswer(400, 'invalid_request_error', NO_STORE, 'background') }
    }
  }
  const kept = typeof previous === 'string' ? (store?.find(previous) ?? null) : null
  if (typeof previous === 'string' && kept === null) return { ok: false, answer: unknownResponse(previous) }
  const messages = [...(kept?.messages ?? []), ...(form.body['messages'] as readonly unknown[])]
  // `/v1/messages` of vLLM before 0.27 has no such field.
  const unsalted = api === 'messages' && !isCurrent(version) ? { cache_salt: null } : {}
  const chat = { ...form.body, ...translated(body, form.body), ...unsalted, messages }
  const read = readGenerationRequest('chat', chat, servedModel, version)
  if (!read.ok) return read
  const echo = echoOf(body, store !== null)
  return { ok: true, request: { ...read.request, voice: api, conversation: messages, echo } }
}

/** Fields that chat completions has under other names. */
function translated(body: Json, chat: Json): Json {
  const { max_output_tokens: outputTokens, stop_sequences: stop, tool_choice: choice, text } = body
  const format = isObject(text) && isObject(text['format']) ? text['format'] : null
  return {
    max_tokens: outputTokens ?? chat['max_tokens'],
    ...(stop === undefined ? {} : { stop }),
    tool_choice: chatChoice(choice),
    ...(format?.['type'] === 'json_schema'
      ? { response_format: { type: 'json_schema', json_schema: { schema: format['schema'] } } }
      : {}),
  }
}

function chatChoice(choice: unknown): unknown {
  if (!isObject(choice)) return choice
  const { type, name } = choice
  if (type === 'any') return 'required'
  return typeof name === 'string' ? { type: 'function', function: { name } } : type
}

function echoOf(body: Json, hasStore: boolean) {
  const {
    instructions,
    previous_response_id: previous,
    max_output_tokens,
    temperature,
    tools,
    metadata,
    store,
    background,
  } = body
  return {
    instructions: typeof instructions === 'string' ? instructions : null,
    previousResponseId: typeof previous === 'string' ? previous : null,
    maxOutputTokens: typeof max_output_tokens === 'number' ? max_output_tokens : null,
    temperature: typeof temperature === 'number' ? temperature : 1,
    tools: Array.isArray(tools) ? tools : [],
    metadata: metadata ?? null,
    isKept: hasStore && store !== false,
    isBackground: background === true,
  }
}
