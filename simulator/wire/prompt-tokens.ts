/** The token ids of a request's prompts, or vLLM's answer to prompts that it does not take. */
import { renderChat } from '../model/chat-template.ts'
import { encode } from '../model/encode.ts'
import { VOCABULARY_TOKENS } from '../model/vocabulary.ts'
import type { EngineVersion } from './engine-version.ts'
import { badRequest, type ErrorAnswer } from './errors.ts'
import type { GenerationRequest, Prompt } from './generation-request.ts'
import { checkLength, checkVocabulary } from './request-checks.ts'
import { readPromptTokens } from './transfer-params.ts'

/** A special token has 13 characters: longer text has more tokens than that for certain. */
const CHARACTERS_PER_TOKEN_MAX = 13

/** One array for each prompt. */
export function promptTokens(
  request: GenerationRequest,
  contextTokensMax: number,
  version: EngineVersion,
): Uint32Array[] | ErrorAnswer {
  const tokenised: Uint32Array[] = []
  for (const prompt of promptsOf(request, version)) {
    const isText = typeof prompt === 'string'
    const unknown = isText ? null : checkVocabulary(prompt, VOCABULARY_TOKENS)
    if (unknown !== null) return unknown
    const isHopeless = isText && prompt.length > (contextTokensMax + 1) * CHARACTERS_PER_TOKEN_MAX
    const tokens = isText ? encode(isHopeless ? '' : prompt) : Uint32Array.from(prompt)
    const count = isHopeless ? contextTokensMax + 1 : tokens.length
    const tooLong = checkLength(count, prompt, request.maxTokens, contextTokensMax, version)
    if (tooLong !== null) return tooLong
    if (count === 0) return badRequest('The decoder prompt cannot be empty')
    tokenised.push(tokens)
  }
  return tokenised
}

function promptsOf(request: GenerationRequest, version: EngineVersion): readonly Prompt[] {
  if (request.api === 'completions') return request.prompts
  const exact = readPromptTokens(request.transfer, version)
  return [exact ?? renderChat(request.messages, request.tools, request.addGenerationPrompt)]
}
