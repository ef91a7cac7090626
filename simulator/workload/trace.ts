/**
 * A trace in Mooncake's format played in compressed time. Sessions (the first block that not every request shares) have
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
})
export type TraceOptions = z.infer<typeof traceSchema>

export function traceWorkload(
  options: TraceOptions,
  context: WorkloadContext,
  trace: readonly TraceRequest[],
): Workload {
  const random = new Random(context.seed).fork('trace')
  const names = new BlockNames(context.blockTokens)
  const parts = Math.max(Math.floor(BLOCK_TOKENS / context.blockTokens), 1)
  const lastMs = Math.max(trace.at(-1)?.timestampMs ?? 0, 1) * options.toShare
  const homes = new Map<number, number>()
  const lasts = new Map<number, { readonly blocks: Int32Array; readonly ends: readonly number[] }>()
  const drafts: Draft[] = []
  for (const request of trace) {
    if (request.timestampMs > lastMs) continue
    const session = sessionKey(request)
    const share = request.timestampMs / lastMs
    const home = homes.get(session) ?? random.weighted(diurnalWeights(context.regions, share))
    const label = homes.has(session) ? 'turn' : 'first'
    homes.set(session, home)
    const blocks = blocksOf(request, names, parts)
    const ends = sharedEnds(blocks, lasts.get(session))
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

/** The full blocks of the prompt: each block of the trace is as many of ours as fit into it. */
function blocksOf({ inputTokens, blockIds }: TraceRequest, names: BlockNames, parts: number): Int32Array {
  const count = Math.min(Math.floor(inputTokens / names.blockTokens), blockIds.length * parts)
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
