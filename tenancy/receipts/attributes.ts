/**
 * A request in the words of OpenTelemetry's GenAI semantic conventions (registry `gen_ai`), and in our own where it has
 * none. https://github.com/open-telemetry/semantic-conventions-genai
 */
import type { Outcome } from '../../protocol/outcome.ts'
import type { EdgeNote } from '../../protocol/receipt-record.ts'

const OPERATIONS: Readonly<Record<string, string>> = {
  chat: 'chat',
  responses: 'chat',
  messages: 'chat',
  completions: 'text_completion',
  embeddings: 'embeddings',
}

export function attributesOf(
  edge: EdgeNote | null,
  outcomes: readonly Outcome[],
): Record<string, string | number> {
  const answer = outcomes.findLast(({ end }) => end !== 'failed') ?? outcomes.at(-1)
  const model = edge?.model ?? answer?.model
  const operation = edge && Object.hasOwn(OPERATIONS, edge.api) ? OPERATIONS[edge.api] : undefined
  return defined({
    'gen_ai.operation.name': operation,
    'gen_ai.provider.name': 'isotherm',
    'gen_ai.request.model': model,
    'gen_ai.response.model': answer?.model,
    // Prompt tokens include those read from cache, as the conventions ask.
    'gen_ai.usage.input_tokens': answer?.promptTokens,
    'gen_ai.usage.cache_read.input_tokens': answer?.cachedTokens,
    'gen_ai.usage.output_tokens': answer?.outputTokens,
    'http.response.status_code': edge?.status ?? answer?.status,
    'isotherm.cluster': answer?.cluster,
    'isotherm.policy.version': edge?.policyVersion,
    'isotherm.matched_tokens': answer?.matchedTokens,
    'isotherm.ttft_ms': answer?.ttftMs,
    'isotherm.predicted_ttft_ms': answer?.predictedTtftMs,
  })
}

function defined(
  attributes: Readonly<Record<string, string | number | null | undefined>>,
): Record<string, string | number> {
  const told = Object.entries(attributes).flatMap(([name, value]) =>
    value === null || value === undefined || value === '' ? [] : [[name, value] as const],
  )
  return Object.fromEntries(told)
}
