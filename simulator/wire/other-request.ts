/** Requests of the Responses and Messages APIs, read as the chat that vLLM makes of them. */
import { chatForm } from '../../core/chat-form.ts'
import type { EngineVersion } from './engine-version.ts'
import { errorAnswer, schemaError, type ErrorAnswer } from './errors.ts'
import { isObject } from './field-reader.ts'
import { readGenerationRequest, type ReadResult } from './generation-request.ts'

type Json = Readonly<Record<string, unknown>>

/** What an engine kept of an earlier response. */
export interface KeptResponse {
  /** The conversation with its answer, as chat messages. */
  readonly messages: readonly unknown[]
}

/** Reads a parsed body. `find` gives what was kept under an id. */
export function readOtherRequest(
  api: 'responses' | 'messages',
  body: unknown,
  servedModel: string,
  version: EngineVersion,
  find: (id: string) => KeptResponse | null,
): ReadResult {
  if (!isObject(body)) return readGenerationRequest('chat', body, servedModel, version)
  const form = chatForm(api, body)
  if (!form.ok) {
    const field = form.param.split('[')[0] ?? form.param
    const issue = { type: 'missing', path: ['body', field], message: 'Field required', input: body }
    return { ok: false, answer: schemaError([issue], `/v1/${api}`, version) }
  }
  const { previous_response_id: previous } = body
  const kept = typeof previous === 'string' ? find(previous) : null
  if (typeof previous === 'string' && kept === null) return { ok: false, answer: unknownResponse(previous) }
  const messages = [...(kept?.messages ?? []), ...(form.body['messages'] as readonly unknown[])]
  const chat = { ...form.body, ...translated(body, form.body), messages }
  const read = readGenerationRequest('chat', chat, servedModel, version)
  if (!read.ok) return read
  return { ok: true, request: { ...read.request, voice: api, conversation: messages, echo: echoOf(body) } }
}

function unknownResponse(id: string): ErrorAnswer {
  return errorAnswer(404, 'invalid_request_error', `Response with id '${id}' not found.`, 'response_id')
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

function echoOf(body: Json) {
  const {
    instructions,
    previous_response_id: previous,
    max_output_tokens,
    temperature,
    tools,
    metadata,
    store,
  } = body
  return {
    instructions: typeof instructions === 'string' ? instructions : null,
    previousResponseId: typeof previous === 'string' ? previous : null,
    maxOutputTokens: typeof max_output_tokens === 'number' ? max_output_tokens : null,
    temperature: typeof temperature === 'number' ? temperature : 1,
    tools: Array.isArray(tools) ? tools : [],
    metadata: metadata ?? null,
    isKept: store !== false,
  }
}
