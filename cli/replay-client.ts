/** Sends one request of a replay as any OpenAI client would, and measures its first token. */
import { Agent, request } from 'undici'
import { z } from 'zod'
import { ROUTING_HEADER, type Routing } from '../protocol/edge-config.ts'
import { parseReceipt, ROUTE_HEADER } from '../protocol/receipt.ts'
import { CF_BLOB_HEADER } from './local/workerd-config.ts'
import type { ReplayBody } from './replay/prompt.ts'
import type { Outcome } from './replay/summary.ts'

const ANSWER_MS_MAX = 900_000
/** The usage event and the end of the stream lie within the last bytes. */
const TAIL_CHARS = 4096

const usageSchema = z.object({
  usage: z.object({
    prompt_tokens: z.number(),
    prompt_tokens_details: z.object({ cached_tokens: z.number() }).nullish(),
  }),
})

export interface ReplayTarget {
  readonly baseUrl: string
  readonly apiKey: string
  readonly routing: Routing
}

export class ReplayClient {
  readonly #target: ReplayTarget
  readonly #agent = new Agent({
    headersTimeout: ANSWER_MS_MAX,
    bodyTimeout: ANSWER_MS_MAX,
    keepAliveTimeout: 4000,
  })

  constructor(target: ReplayTarget) {
    this.#target = target
  }

  /** Never throws: a request that fails is an outcome. `colo` is the edge location that the caller plays. */
  async send(body: ReplayBody, colo: string): Promise<Outcome> {
    const { baseUrl, apiKey, routing } = this.#target
    const startMs = performance.now()
    try {
      const response = await request(`${baseUrl}/chat/completions`, {
        method: 'POST',
        dispatcher: this.#agent,
        headers: {
          authorization: `Bearer ${apiKey}`,
          'content-type': 'application/json',
          [CF_BLOB_HEADER]: JSON.stringify({ colo }),
          ...(routing === 'isotherm' ? {} : { [ROUTING_HEADER]: routing }),
        },
        body: JSON.stringify(body),
      })
      if (response.statusCode !== 200) {
        await response.body.dump()
        return { ok: false, error: `status ${response.statusCode}` }
      }
      const stream = await readStream(response.body, startMs)
      if (!stream.ok) return stream
      const route = response.headers[ROUTE_HEADER]
      const receipt = typeof route === 'string' ? parseReceipt(route) : null
      return {
        ...stream,
        region: receipt?.region ?? 'unknown',
        predictedTtftMs: receipt?.predicted_ttft_ms ?? null,
      }
    } catch (error) {
      return { ok: false, error: error instanceof Error ? error.message : String(error) }
    }
  }

  async close(): Promise<void> {
    await this.#agent.close()
  }
}

type StreamReading =
  | {
      readonly ok: true
      readonly ttftMs: number
      readonly promptTokens: number
      readonly cachedTokens: number
    }
  | { readonly ok: false; readonly error: string }

async function readStream(body: AsyncIterable<Uint8Array>, startMs: number): Promise<StreamReading> {
  const decoder = new TextDecoder()
  let tail = ''
  let ttftMs: number | null = null
  for await (const chunk of body) {
    tail = (tail + decoder.decode(chunk, { stream: true })).slice(-TAIL_CHARS)
    // Comments keep the connection alive before the first token; the first data event carries it.
    if (ttftMs === null && /(^|\n)data: /.test(tail)) ttftMs = performance.now() - startMs
  }
  if (!tail.trimEnd().endsWith('data: [DONE]')) return { ok: false, error: 'the stream broke off' }
  const events = tail.split('\n').filter((line) => line.startsWith('data: {'))
  if (events.some((line) => line.startsWith('data: {"error"')))
    return { ok: false, error: 'error in the stream' }
  const usage = usageSchema.safeParse(JSON.parse((events.at(-1) ?? 'data: null').slice('data: '.length)))
  if (ttftMs === null || !usage.success) return { ok: false, error: 'the stream had no usage' }
  const { prompt_tokens, prompt_tokens_details } = usage.data.usage
  return {
    ok: true,
    ttftMs,
    promptTokens: prompt_tokens,
    cachedTokens: prompt_tokens_details?.cached_tokens ?? 0,
  }
}
