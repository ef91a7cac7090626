/** What the agent says of its choice, in the form of a receipt (`AGENT_ROUTE_HEADER`). */
import type { GenerateRequest } from './generate-request.ts'
import { predictedMs, type Pair } from './routing/select.ts'

export function routeHeader(pair: Pair, promptTokens: number, { startMs }: GenerateRequest): string {
  const agentMs = Math.round(performance.now() - startMs)
  return (
    `prefill=${pair.prefill.endpoint.name}; decode=${pair.decode.endpoint.name}; ` +
    `matched_tokens=${pair.reusedTokens}; prompt_tokens=${promptTokens}; tier=${pair.tier ?? 'none'}; ` +
    `predicted_ms=${Math.round(predictedMs(pair))}; agent_ms=${agentMs}`
  )
}
