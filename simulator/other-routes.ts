/** Routes beside chat and completions that take a prompt: Responses, Messages and its token counts, embeddings. */
import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { EngineHost } from './engine-options.ts'
import { generate } from './generate.ts'
import { sendError, sendJson } from './http-answer.ts'
import { renderChat } from './model/chat-template.ts'
import { encode } from './model/encode.ts'
import { errorAnswer, inVoice, unknownModel } from './wire/errors.ts'
import { readGenerationRequest } from './wire/generation-request.ts'
import { readOtherRequest } from './wire/other-request.ts'

const DIMENSIONS = 32

export async function answerOther(
  voice: 'responses' | 'messages',
  host: EngineHost,
  body: unknown,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { model, version, keepsResponses } = host.options
  const { failStatus } = host.faults
  if (failStatus !== null) {
    sendError(
      response,
      inVoice(voice, errorAnswer(failStatus, 'InternalServerError', 'Internal server error')),
    )
    return
  }
  const read = readOtherRequest(voice, body, model, version, keepsResponses ? host.responses : null)
  if (read.ok) await generate(host, read.request, request, response)
  else sendError(response, inVoice(voice, read.answer))
}

export function countTokens(host: EngineHost, body: unknown, response: ServerResponse): void {
  const { model, version } = host.options
  const read = readOtherRequest('messages', body, model, version, null)
  if (!read.ok) {
    sendError(response, inVoice('messages', read.answer))
    return
  }
  const { messages, tools, addGenerationPrompt } = read.request
  const tokens = encode(renderChat(messages, tools, addGenerationPrompt)).length
  sendJson(response, 200, { input_tokens: tokens, context_management: { original_input_tokens: tokens } })
}

/** Vectors drawn from a hash of each text: equal texts are near, and that is all. */
export function embed(host: EngineHost, body: unknown, response: ServerResponse): void {
  const { model, version } = host.options
  const fields = (typeof body === 'object' && body !== null ? body : {}) as Readonly<Record<string, unknown>>
  const { input } = fields
  const isOne = typeof input === 'string' || (Array.isArray(input) && typeof input[0] === 'number')
  const prompt = isOne ? [input] : input
  // Completions take the same prompts.
  const read = readGenerationRequest('completions', { model: fields['model'], prompt }, model, version)
  if (!read.ok || fields['model'] !== model) {
    sendError(response, read.ok ? unknownModel(String(fields['model']), model, version) : read.answer)
    return
  }
  const tokens = read.request.prompts.map((text) =>
    typeof text === 'string' ? Array.from(encode(text)) : text,
  )
  const promptTokens = tokens.reduce((sum, { length }) => sum + length, 0)
  sendJson(response, 200, {
    id: `embd-${randomBytes(8).toString('hex')}`,
    object: 'list',
    created: Math.floor(Date.now() / 1000),
    model,
    data: tokens.map((of, index) => ({
      index,
      object: 'embedding',
      embedding: embedding(of, fields['encoding_format'] === 'base64'),
    })),
    usage: {
      prompt_tokens: promptTokens,
      total_tokens: promptTokens,
      completion_tokens: 0,
      prompt_tokens_details: null,
    },
  })
}

function embedding(tokens: readonly number[], isBase64: boolean): number[] | string {
  const digest = createHash('sha256').update(tokens.join()).digest()
  const values = Float32Array.from({ length: DIMENSIONS }, (_, i) => ((digest[i] ?? 0) - 127.5) / 127.5)
  return isBase64 ? Buffer.from(values.buffer).toString('base64') : Array.from(values)
}
