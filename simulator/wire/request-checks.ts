/** The checks behind the schema: fields that exclude each other, and sampling parameters out of range. */
import { isCurrent, type EngineVersion } from './engine-version.ts'
import { badParameter, badRequest, schemaError, type ErrorAnswer } from './errors.ts'
import type { FieldReader } from './field-reader.ts'
import type { GenerationRequest, Prompt } from './generation-request.ts'

const SALT_CHARACTERS_MAX = 128

/** Model validators: 0.32 answers `BadRequestError`, 0.23 wraps the same words into a schema error. */
export function checkCombinations(
  fields: FieldReader,
  request: GenerationRequest,
  version: EngineVersion,
): ErrorAnswer | null {
  const fault = findCombination(fields, request, version)
  if (fault === null) return null
  if (isCurrent(version)) return badParameter(fault.message, fault.param)
  const message = `Value error, ${fault.message} (parameter=${fault.param})`
  const route = request.api === 'chat' ? '/v1/chat/completions' : '/v1/completions'
  return schemaError(
    [{ type: 'value_error', path: ['body'], message, input: fields.body }],
    route,
    version,
    fault.param,
  )
}

function findCombination(
  fields: FieldReader,
  { isStream, cacheSalt }: GenerationRequest,
  version: EngineVersion,
): { readonly message: string; readonly param: string } | null {
  if (!isStream && fields.raw('stream_options') !== null) {
    return { message: 'Stream options can only be defined when `stream=True`.', param: 'stream_options' }
  }
  if (cacheSalt === '') {
    const message = "Parameter 'cache_salt' must be a non-empty string if provided."
    return { message, param: 'cache_salt' }
  }
  if (cacheSalt !== null && isCurrent(version)) {
    if (cacheSalt.length > SALT_CHARACTERS_MAX || /[@/\\\0]/.test(cacheSalt)) {
      const message = `Parameter 'cache_salt' must be at most ${SALT_CHARACTERS_MAX} characters and must not contain '@', '/', '\\\\', or NUL.`
      return { message, param: 'cache_salt' }
    }
  }
  return null
}

export function checkSampling({
  api,
  prompts,
  maxTokens,
  temperature,
}: GenerationRequest): ErrorAnswer | null {
  if (api === 'completions' && prompts.length === 0) return badRequest('You must pass at least one prompt')
  if (maxTokens !== null && maxTokens < 1) {
    const message = `max_tokens must be at least 1, got ${maxTokens}.`
    return badParameter(message, 'max_tokens', String(maxTokens))
  }
  if (temperature !== null && temperature < 0) {
    const value = Number.isInteger(temperature) ? `${temperature}.0` : String(temperature)
    return badParameter(`temperature must be non-negative, got ${value}.`, 'temperature', value)
  }
  return null
}

/** A prompt that leaves no room for a token, or, in 0.23, none for all that were asked for. */
export function checkLength(
  tokens: number,
  prompt: Prompt,
  maxTokens: number | null,
  contextTokensMax: number,
  version: EngineVersion,
): ErrorAnswer | null {
  const output = maxTokens ?? 0
  const head = `This model's maximum context length is ${contextTokensMax} tokens. However,`
  // Text is tokenised only as far as the limit; token ids are counted.
  const isCut = typeof prompt === 'string' && tokens > contextTokensMax
  const shown = isCut ? contextTokensMax + 1 : tokens
  const least = isCut ? 'at least ' : ''
  const value = String(shown)
  if (isCurrent(version)) {
    if (tokens < contextTokensMax) return null
    const message = `${head} your prompt contains ${least}${shown} input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt.`
    return badParameter(message, 'input_tokens', value)
  }
  if (tokens < contextTokensMax && tokens + output <= contextTokensMax) return null
  const message = `${head} you requested ${output} output tokens and your prompt contains ${least}${shown} input tokens, for a total of ${least}${shown + output} tokens. Please reduce the length of the input prompt or the number of requested output tokens.`
  return badParameter(message, 'input_tokens', value)
}

export function checkVocabulary(tokens: readonly number[], vocabularyTokens: number): ErrorAnswer | null {
  const wrong = tokens.find((token) => token >= vocabularyTokens)
  return wrong === undefined ? null : badRequest(`Token id ${wrong} is out of vocabulary`)
}
