/**
 * Traces in Mooncake's format: one JSON object a line with `timestamp` (ms from the start), `input_length` and
 * `output_length` (tokens) and `hash_ids`, the chained ids of the prompt's 512-token blocks: equal ids at the start
 * of two prompts are a prefix that they share. https://github.com/kvcache-ai/Mooncake
 */
import { z } from 'zod'

export const BLOCK_TOKENS = 512

/** Bounds of one line: a prompt of 2 M tokens, an answer of 128 K. */
const lineSchema = z.object({
  timestamp: z.number().nonnegative(),
  input_length: z.int().positive().max(2_000_000),
  output_length: z.int().nonnegative().max(131_072),
  hash_ids: z.array(z.int().nonnegative()).min(1).max(4096),
})

export interface TraceRequest {
  readonly timestampMs: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly blockIds: readonly number[]
}

/** Throws an error that names the line and what is wrong with it. */
export function parseTraceLine(line: string, lineNumber: number): TraceRequest {
  let json: unknown
  try {
    json = JSON.parse(line)
  } catch {
    throw new Error(`line ${lineNumber} is not JSON`)
  }
  const parsed = lineSchema.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new Error(`line ${lineNumber}: ${issue?.path.join('.') || 'value'}: ${issue?.message ?? 'invalid'}`)
  }
  const { timestamp, input_length, output_length, hash_ids } = parsed.data
  return {
    timestampMs: timestamp,
    inputTokens: input_length,
    outputTokens: Math.max(output_length, 1),
    blockIds: hash_ids,
  }
}

/** Tokens of block `index` of a prompt: all blocks are full but the last. */
export function blockTokens(request: TraceRequest, index: number): number {
  if (index < request.blockIds.length - 1) return BLOCK_TOKENS
  return Math.max(request.inputTokens - BLOCK_TOKENS * index, 1)
}

/** The first block that not every request shares: what a sticky router would hash. */
export function sessionKey(request: TraceRequest): number {
  return request.blockIds[1] ?? request.blockIds[0] ?? 0
}

/** The share of input tokens that one cache without limits, asked in the order of the trace, would hold. */
export function infiniteCacheShare(requests: readonly TraceRequest[]): number {
  const seen = new Set<number>()
  let hitTokens = 0
  let inputTokens = 0
  for (const request of requests) {
    inputTokens += request.inputTokens
    let whole = true
    for (const [index, id] of request.blockIds.entries()) {
      whole &&= seen.has(id)
      if (whole) hitTokens += blockTokens(request, index)
      seen.add(id)
    }
  }
  return inputTokens === 0 ? 0 : hitTokens / inputTokens
}
