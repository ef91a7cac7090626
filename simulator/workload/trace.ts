/**
 * A trace played in compressed time, in Mooncake's format or of a user's own logs. Sessions (the first block that not every request shares) have
 * a home region that is drawn by the time of day; a seed redraws homes and jitters arrivals, the trace itself is one sample.
 */
import { z } from 'zod'
import { BLOCK_TOKENS, sessionKey, type TraceRequest } from '../../cli/replay/trace.ts'
import { Random } from '../world/random.ts'
import { BlockNames } from './block-names.ts'
import { diurnalWeights, numbered, type Draft, type Workload, type WorkloadContext } from './workload.ts'

export const traceSchema = z.strictObject({
  kind: z.literal('trace'),
  trace: z.string().max(4096).optional().describe('File in the format of Mooncake; --trace gives it too'),
  speed: z.number().positive().max(1000).default(1).describe('Divides the time between requests'),
  warmupShare: z.number().min(0).max(0.9).default(0.1),
  toShare: z.number().positive().max(1).default(1).describe('Share of the trace that is played'),
  jitterMs: z.number().nonnegative().max(60_000).default(500),
  traceBlockTokens: z
    .int()
    .min(16)
    .max(4096)
    .default(BLOCK_TOKENS)
    .describe('Tokens of a block of the trace'),
})
export type TraceOptions = z.infer<typeof traceSchema>

/** A request of a trace, with what logs know and Mooncake's format does not. */
export interface PlayedRequest extends TraceRequest {
  /** The conversation; without it the first block that not every request shares. */
  readonly session?: number
  /** Message ends in whole blocks of the trace, rising; without them where the prompt parts from the one before it. */
  readonly ends?: readonly number[]
  /** The blocks go on over the answer, which the next turn asks for again. */
  readonly knowsAnswer?: boolean
}

export function sessionOf(request: PlayedRequest): number {
  return request.session ?? sessionKey(request)
}

export function traceWorkload(
  options: TraceOptions,
  context: WorkloadContext,
  trace: readonly PlayedRequest[],
): Workload {
  const random = new Random(context.seed).fork('trace')
  const names = new BlockNames(context.blockTokens)
  const parts = Math.max(Math.floor(options.traceBlockTokens / context.blockTokens), 1)
  const lastMs = Math.max(trace.at(-1)?.timestampMs ?? 0, 1) * options.toShare
  const homes = new Map<number, number>()
  const lasts = new Map<number, { readonly blocks: Int32Array; readonly ends: readonly number[] }>()
  const drafts: Draft[] = []
  for (const request of trace) {
    if (request.timestampMs > lastMs) continue
    const session = sessionOf(request)
    const share = request.timestampMs / lastMs
    const home = homes.get(session) ?? random.weighted(diurnalWeights(context.regions, share))
    const label = homes.has(session) ? 'turn' : 'first'
    homes.set(session, home)
    const blocks = blocksOf(request, names, parts)
    const ends = request.ends?.map((end) => end * parts) ?? sharedEnds(blocks, lasts.get(session))
    lasts.set(session, { blocks, ends })
    drafts.push({
      arrivalMs: request.timestampMs / options.speed + random.next() * options.jitterMs,
      stage: 0,
      isCounted: share >= options.warmupShare,
      region: home,
      session,
      tenant: 0,
      adapter: -1,
      promptTokens: request.inputTokens,
      outputTokens: request.outputTokens,
      blocks,
      ends,
      label,
    })
  }
  return {
    requests: numbered(drafts),
    blockCount: names.count,
    blockTokens: context.blockTokens,
    stages: [{ name: 'trace', isCounted: true }],
    drainsStages: false,
  }
}

/** The full blocks of the prompt, and of a known answer: each block of the trace is as many of ours as fit into it. */
function blocksOf(request: PlayedRequest, names: BlockNames, parts: number): Int32Array {
  const { inputTokens, outputTokens, blockIds, knowsAnswer } = request
  const tokens = inputTokens + (knowsAnswer ? outputTokens : 0)
  const count = Math.min(Math.floor(tokens / names.blockTokens), blockIds.length * parts)
  const blocks = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    blocks[i] = names.number((blockIds[Math.floor(i / parts)] ?? 0) * parts + (i % parts))
  }
  return blocks
}

/** The trace has no messages: where a prompt parts from the one before it in its session, a message ended. */
function sharedEnds(
  blocks: Int32Array,
  last: { readonly blocks: Int32Array; readonly ends: readonly number[] } | undefined,
): number[] {
  if (!last) return []
  let common = 0
  while (common < blocks.length && blocks[common] === last.blocks[common]) common++
  return [...last.ends.filter((end) => end < common), common]
}
