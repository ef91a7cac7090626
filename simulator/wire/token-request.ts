/** Bodies of `/tokenize` and `/detokenize`. */
import type { TemplateMessage } from '../model/chat-template.ts'
import { readMessages } from './chat-messages.ts'
import type { EngineVersion } from './engine-version.ts'
import { schemaError, unknownModel, type ErrorAnswer } from './errors.ts'
import { FieldReader, isObject } from './field-reader.ts'

export interface TokenizeRequest {
  /** The text, or a chat to render. */
  readonly input:
    | string
    | { readonly messages: readonly TemplateMessage[]; readonly tools: readonly unknown[] | null }
  readonly addGenerationPrompt: boolean
  readonly returnsTokenStrings: boolean
}

type Read<T> =
  | { readonly ok: true; readonly request: T }
  | { readonly ok: false; readonly answer: ErrorAnswer }

export function readTokenize(
  body: unknown,
  servedModel: string,
  version: EngineVersion,
): Read<TokenizeRequest> {
  const fields = new FieldReader(isObject(body) ? body : {})
  const model = fields.string('model')
  const isChat = fields.raw('messages') !== null
  const messages = isChat ? readMessages(fields) : []
  const tools = fields.array('tools')
  const prompt = isChat
    ? null
    : (fields.string('prompt') ?? (fields.raw('prompt') === null ? fields.missing('prompt') : null))
  const request: TokenizeRequest = {
    input: isChat ? { messages, tools } : (prompt ?? ''),
    addGenerationPrompt: fields.boolean('add_generation_prompt') ?? true,
    returnsTokenStrings: fields.boolean('return_token_strs') ?? false,
  }
  return conclude(fields, model, servedModel, '/tokenize', version, request)
}

export function readDetokenize(
  body: unknown,
  servedModel: string,
  version: EngineVersion,
): Read<readonly number[]> {
  const fields = new FieldReader(isObject(body) ? body : {})
  const model = fields.string('model')
  const tokens =
    fields.array('tokens') ?? (fields.raw('tokens') === null ? fields.missing('tokens') : null) ?? []
  const request = tokens.filter((token) => typeof token === 'number' && Number.isInteger(token) && token >= 0)
  if (request.length < tokens.length) fields.reject('tokens', 'int_type', 'Input should be a valid integer')
  return conclude(fields, model, servedModel, '/detokenize', version, request as number[])
}

function conclude<T>(
  fields: FieldReader,
  model: string | null,
  servedModel: string,
  route: string,
  version: EngineVersion,
  request: T,
): Read<T> {
  if (fields.issues.length > 0) return { ok: false, answer: schemaError(fields.issues, route, version) }
  if (model !== null && model !== servedModel)
    return { ok: false, answer: unknownModel(model, servedModel, version) }
  return { ok: true, request }
}
