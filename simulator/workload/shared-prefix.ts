/**
 * inference-perf's `shared_prefix` data, as in llm-d's published runs: groups with one system prompt each, users with one
 * question each, drawn again and again; Poisson or constant arrivals in stages.
 */
import { z } from 'zod'
import { Random } from '../world/random.ts'
import { BlockNames, type Segment } from './block-names.ts'
import { numbered, type Draft, type Workload, type WorkloadContext } from './workload.ts'

export const sharedPrefixSchema = z.strictObject({
  kind: z.literal('shared-prefix'),
  groups: z.int().positive().max(100_000),
  usersPerGroup: z.int().positive().max(100_000),
  systemTokens: z.int().nonnegative().max(1_000_000),
  questionTokens: z.int().positive().max(1_000_000),
  outputTokens: z.int().positive().max(100_000),
  arrivals: z.enum(['poisson', 'constant']).default('poisson'),
  multiTurn: z.boolean().default(false).describe('Each prompt holds the turns before it'),
  turnsMax: z.int().positive().max(1000).default(8).describe('Of a conversation when multiTurn'),
  drainsStages: z.boolean().default(true),
  stages: z
    .array(
      z.strictObject({
        ratePerS: z.number().positive().max(100_000),
        seconds: z.number().positive().max(1_000_000),
        isWarmup: z.boolean().default(false),
        name: z.string().max(80).optional(),
      }),
    )
    .min(1)
    .max(100),
})
export type SharedPrefixOptions = z.infer<typeof sharedPrefixSchema>

interface User {
  readonly session: number
  readonly group: number
  segments: Segment[]
  turns: number
}

export function sharedPrefixWorkload(options: SharedPrefixOptions, context: WorkloadContext): Workload {
  const random = new Random(context.seed).fork('shared-prefix')
  const names = new BlockNames(context.blockTokens)
  const systems = Array.from({ length: options.groups }, (): Segment => {
    return { path: names.newPath(), tokens: options.systemTokens }
  })
  const users = systems.flatMap((system, group) =>
    Array.from({ length: options.usersPerGroup }, (_, i): User => {
      const question = { path: names.newPath(), tokens: options.questionTokens }
      return { session: group * options.usersPerGroup + i, group, segments: [system, question], turns: 0 }
    }),
  )
  const drafts: Draft[] = []
  let stageStartMs = 0
  for (const [stage, { ratePerS, seconds, isWarmup }] of options.stages.entries()) {
    const endMs = seconds * 1000
    const gapMs = () =>
      options.arrivals === 'poisson' ? random.exponential(1000 / ratePerS) : 1000 / ratePerS
    for (let atMs = gapMs(); atMs < endMs; atMs += gapMs()) {
      const user = users[random.int(users.length)]
      if (!user) continue
      drafts.push({
        arrivalMs: options.drainsStages ? atMs : stageStartMs + atMs,
        stage,
        isCounted: !isWarmup,
        region: random.int(context.regions),
        session: user.session,
        tenant: user.group,
        adapter: -1,
        promptTokens: user.segments.reduce((sum, { tokens }) => sum + tokens, 0),
        outputTokens: options.outputTokens,
        blocks: names.blocksOf(user.segments),
        ends: names.endsOf(user.segments),
        label: user.turns === 0 ? 'first' : 'again',
      })
      user.turns++
      if (options.multiTurn) nextTurn(user, options, names)
    }
    stageStartMs += endMs
  }
  return {
    requests: numbered(drafts),
    blockCount: names.count,
    blockTokens: context.blockTokens,
    stages: options.stages.map(({ name, ratePerS, isWarmup }) => ({
      name: name ?? `${ratePerS}/s`,
      isCounted: !isWarmup,
    })),
    drainsStages: options.drainsStages,
  }
}

/** The answer and another question are appended; a long conversation starts again from its system prompt. */
function nextTurn(user: User, options: SharedPrefixOptions, names: BlockNames): void {
  const [system] = user.segments
  const question = { path: names.newPath(), tokens: options.questionTokens }
  if (user.turns % options.turnsMax === 0 && system) {
    user.segments = [system, question]
    return
  }
  const answer = { path: names.newPath(), tokens: options.outputTokens }
  user.segments = [...user.segments, answer, question]
}
