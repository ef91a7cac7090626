/**
 * Tenants that wake, ask a few times and go quiet, so that their prefixes sink from tier to tier while others are served:
 * the traffic of the cascade.
 */
import { z } from 'zod'
import { Random } from '../world/random.ts'
import { BlockNames } from './block-names.ts'
import { numbered, type Draft, type Workload, type WorkloadContext } from './workload.ts'

export const burstsSchema = z.strictObject({
  kind: z.literal('bursts'),
  tenants: z.int().positive().max(100_000),
  seconds: z.number().positive().max(1_000_000),
  warmupS: z.number().nonnegative().default(0),
  requestsPerS: z.number().positive().max(10_000),
  requestsABurst: z.int().positive().max(1000).default(4),
  gapMs: z.number().positive().max(1_000_000).default(4000),
  systemTokens: z.int().positive().max(1_000_000),
  historyTokens: z.int().positive().max(1_000_000),
  outputTokens: z.int().positive().max(100_000),
  adapters: z.boolean().default(false).describe('Each tenant has an adapter of its own'),
})
export type BurstsOptions = z.infer<typeof burstsSchema>

export function burstsWorkload(options: BurstsOptions, context: WorkloadContext): Workload {
  const random = new Random(context.seed).fork('bursts')
  const names = new BlockNames(context.blockTokens)
  const systems = Array.from({ length: options.tenants }, () => ({
    path: names.newPath(),
    tokens: options.systemTokens,
  }))
  const seen = new Set<number>()
  const busyUntilMs = new Float64Array(options.tenants)
  const drafts: Draft[] = []
  const burstGapMs = (1000 / options.requestsPerS) * options.requestsABurst
  for (let atMs = 0; atMs < options.seconds * 1000; atMs += random.exponential(burstGapMs)) {
    const tenant = random.int(options.tenants)
    const system = systems[tenant]
    if (!system || (busyUntilMs[tenant] ?? 0) > atMs) continue
    busyUntilMs[tenant] = atMs + options.requestsABurst * options.gapMs
    for (let turn = 0; turn < options.requestsABurst; turn++) {
      const history = { path: names.newPath(), tokens: options.historyTokens }
      const arrivalMs = atMs + turn * options.gapMs
      drafts.push({
        arrivalMs,
        stage: 0,
        isCounted: arrivalMs >= options.warmupS * 1000,
        region: random.int(context.regions),
        session: tenant,
        tenant,
        adapter: options.adapters ? tenant : -1,
        promptTokens: options.systemTokens + options.historyTokens,
        outputTokens: options.outputTokens,
        blocks: names.blocksOf([system, history]),
        ends: names.endsOf([system, history]),
        label: turn > 0 ? 'active' : seen.has(tenant) ? 'return' : 'first',
      })
    }
    seen.add(tenant)
  }
  return {
    requests: numbered(drafts),
    blockCount: names.count,
    blockTokens: context.blockTokens,
    stages: [{ name: 'run', isCounted: true }],
    drainsStages: false,
  }
}
