/**
 * Generated conversations: sessions arrive, each starts from a shared prompt, takes turns after a time to think, and its
 * prompts hold every answer before them. Several classes of tenants side by side make neighbours of different habits.
 */
import { z } from 'zod'
import { Random } from '../world/random.ts'
import { BlockNames, type Segment } from './block-names.ts'
import { diurnalWeights, numbered, type Draft, type Workload, type WorkloadContext } from './workload.ts'

/** Log-normal lengths: the median, the sigma of the logarithm, and bounds. */
const lengthSchema = z.strictObject({
  median: z.number().positive().max(1_000_000),
  sigma: z.number().nonnegative().max(4).default(0),
  max: z.number().positive().max(2_000_000).default(120_000),
})

const classSchema = z.strictObject({
  name: z.string().min(1).max(40),
  tenants: z.int().positive().max(100_000).default(1),
  sessionsPerS: z.number().positive().max(10_000),
  fromS: z.number().nonnegative().default(0),
  untilS: z.number().positive().optional(),
  turns: z.strictObject({ mean: z.number().min(1).max(1000), max: z.int().positive().max(10_000) }),
  thinkS: lengthSchema.describe('From an answer to the next question'),
  sharedPrompts: z
    .strictObject({
      count: z.int().positive().max(1_000_000).describe('For each tenant'),
      tokens: lengthSchema,
      skew: z.number().nonnegative().max(3).default(0).describe('Exponent of their popularity'),
    })
    .optional(),
  firstTokens: lengthSchema,
  turnTokens: lengthSchema,
  outputTokens: lengthSchema,
  adapters: z.boolean().default(false).describe('Each tenant has an adapter of its own'),
  parallel: z.int().positive().max(1000).default(1).describe('Requests of one turn that fork from it'),
  forkFrom: z.int().nonnegative().max(1000).default(0).describe('The first turn that forks, from 0'),
})
type SessionClass = z.infer<typeof classSchema>

export const conversationsSchema = z.strictObject({
  kind: z.literal('conversations'),
  seconds: z.number().positive().max(1_000_000),
  warmupS: z.number().nonnegative().default(0),
  speed: z.number().positive().max(1000).default(1).describe('Multiplies the rate of sessions'),
  toShare: z.number().positive().max(1).default(1).describe('Share of the time that is played'),
  contextTokensMax: z.int().positive().default(120_000),
  classes: z.array(classSchema).min(1).max(20),
})
export type ConversationsOptions = z.infer<typeof conversationsSchema>

/** How long an answer is taken to take when the next question is timed: arrivals are drawn before the run. */
const ANSWER_MS_PER_TOKEN = 25

export function conversationsWorkload(options: ConversationsOptions, context: WorkloadContext): Workload {
  const names = new BlockNames(context.blockTokens)
  const drafts: Draft[] = []
  let tenants = 0
  let sessions = 0
  for (const [number, kind] of options.classes.entries()) {
    const random = new Random(context.seed).fork(`class ${number}`)
    const shared = sharedPrompts(kind, names, random)
    const fromMs = kind.fromS * 1000
    const untilMs = Math.min(kind.untilS ?? Infinity, options.seconds * options.toShare) * 1000
    const gapMs = 1000 / (kind.sessionsPerS * options.speed)
    for (let atMs = fromMs + random.exponential(gapMs); atMs < untilMs; atMs += random.exponential(gapMs)) {
      const tenant = random.int(kind.tenants)
      const region = random.weighted(diurnalWeights(context.regions, atMs / (options.seconds * 1000)))
      const start = shared(tenant)
      const seed = { kind, tenant: tenants + tenant, region, session: sessions++, atMs, untilMs, start }
      drafts.push(...session(seed, options, names, random))
    }
    tenants += kind.tenants
  }
  const warmupMs = options.warmupS * 1000
  return {
    requests: numbered(drafts.map((draft) => ({ ...draft, isCounted: draft.arrivalMs >= warmupMs }))),
    blockCount: names.count,
    blockTokens: context.blockTokens,
    stages: [{ name: 'run', isCounted: true }],
    drainsStages: false,
  }
}

function sharedPrompts(kind: SessionClass, names: BlockNames, random: Random): (tenant: number) => Segment[] {
  const { sharedPrompts: options } = kind
  if (!options) return () => []
  const weights = Array.from({ length: options.count }, (_, rank) => (rank + 1) ** -options.skew)
  const prompts = Array.from({ length: kind.tenants * options.count }, () => ({
    path: names.newPath(),
    tokens: length(options.tokens, random),
  }))
  return (tenant) => {
    const prompt = prompts[tenant * options.count + random.weighted(weights)]
    return prompt ? [prompt] : []
  }
}

interface SessionSeed {
  readonly kind: SessionClass
  readonly tenant: number
  readonly region: number
  readonly session: number
  readonly atMs: number
  readonly untilMs: number
  readonly start: readonly Segment[]
}

function session(
  seed: SessionSeed,
  options: ConversationsOptions,
  names: BlockNames,
  random: Random,
): Draft[] {
  const { kind, untilMs } = seed
  const turns = Math.min(1 + Math.floor(random.exponential(kind.turns.mean - 1)), kind.turns.max)
  let segments = [...seed.start, { path: names.newPath(), tokens: length(kind.firstTokens, random) }]
  let { atMs } = seed
  const drafts: Draft[] = []
  for (let turn = 0; turn < turns && atMs < untilMs; turn++) {
    const outputTokens = length(kind.outputTokens, random)
    const answer = { path: names.newPath(), tokens: outputTokens }
    const branches = turn < kind.forkFrom ? 1 : kind.parallel
    for (let branch = 0; branch < branches; branch++) {
      // Branches differ in their last words; the conversation goes on from the first.
      const own = branch === 0 ? [] : [{ path: names.newPath(), tokens: length(kind.turnTokens, random) }]
      const prompt = [...segments, ...own]
      const promptTokens = prompt.reduce((sum, { tokens }) => sum + tokens, 0)
      drafts.push({
        arrivalMs: atMs,
        stage: 0,
        isCounted: true,
        region: seed.region,
        session: seed.session,
        tenant: seed.tenant,
        adapter: kind.adapters ? seed.tenant : -1,
        promptTokens,
        outputTokens,
        blocks: names.blocksOf(branch === 0 ? [...prompt, answer] : prompt),
        ends: names.endsOf(prompt),
        label: labelOf(kind, options.classes.length, turn, branches),
      })
    }
    segments = [...segments, answer, { path: names.newPath(), tokens: length(kind.turnTokens, random) }]
    const tokens = segments.reduce((sum, part) => sum + part.tokens, 0)
    if (tokens > options.contextTokensMax) break
    atMs += outputTokens * ANSWER_MS_PER_TOKEN + length(kind.thinkS, random, 0.001) * 1000
  }
  return drafts
}

function labelOf(kind: SessionClass, classes: number, turn: number, branches: number): string {
  if (kind.parallel > 1) return branches > 1 ? 'fork' : 'parent'
  if (classes > 1) return kind.name
  return turn === 0 ? 'first' : 'turn'
}

function length({ median, sigma, max }: z.infer<typeof lengthSchema>, random: Random, unit = 1): number {
  const value = median * Math.exp(sigma * (sigma > 0 ? random.normal() : 0))
  return Math.max(Math.min(Math.round(value / unit) * unit, max), unit)
}
