/**
 * A scenario: world, workload, policies and variants, as a data file says it. A user's own file has the same form; what
 * is wrong with it is said with the name of the field.
 */
import { z } from 'zod'
import { DELTA_INTERVAL_MS, HEARTBEAT_INTERVAL_MS } from '../../protocol/report.ts'
import { burstsSchema } from '../workload/bursts.ts'
import { conversationsSchema } from '../workload/conversations.ts'
import { sharedPrefixSchema } from '../workload/shared-prefix.ts'
import { traceSchema } from '../workload/trace.ts'
import { PROFILE_NAMES } from './profiles.ts'

const endpointsSchema = z.strictObject({
  count: z.int().positive().max(32),
  profile: z.enum(PROFILE_NAMES as [string, ...string[]]),
  role: z.enum(['prefill', 'decode', 'both']).default('both'),
  overrides: z.record(z.string(), z.unknown()).default({}).describe('Fields of the engine profile'),
})

const worldSchema = z.strictObject({
  regions: z.array(z.string().min(1).max(60)).min(1).max(8),
  ownRttMs: z.number().nonnegative().default(5).describe('Within a region'),
  rttMs: z
    .array(z.array(z.number().nonnegative()))
    .optional()
    .describe('By region and region; without it a table of public means'),
  rttFactor: z.number().positive().default(1),
  clusters: z
    .array(
      z.strictObject({
        region: z.string(),
        name: z.string().optional(),
        endpoints: z.array(endpointsSchema),
      }),
    )
    .min(1)
    .max(8),
  delays: z
    .strictObject({
      eventsMs: z.number().nonnegative().max(600_000).default(20),
      reportMs: z.number().nonnegative().max(600_000).default(5),
      batchMs: z.number().nonnegative().max(60_000).default(DELTA_INTERVAL_MS),
      heartbeatMs: z.number().positive().max(60_000).default(HEARTBEAT_INTERVAL_MS),
      pollMs: z.number().positive().max(60_000).default(50),
      lossShare: z.number().min(0).max(1).default(0),
    })
    .prefault({}),
  isolates: z.int().positive().max(1000).default(4),
  outages: z
    .array(
      z.strictObject({
        cluster: z.int().nonnegative(),
        fromS: z.number().nonnegative(),
        untilS: z.number().positive(),
      }),
    )
    .max(16)
    .default([]),
  adapters: z
    .strictObject({ slots: z.int().positive().max(1000), loadMs: z.number().nonnegative().max(600_000) })
    .default({ slots: 8, loadMs: 200 })
    .describe('Adapters that an engine holds, and what another one takes to come'),
  stalls: z
    .strictObject({ share: z.number().min(0).max(1), ms: z.number().nonnegative().max(600_000) })
    .default({ share: 0, ms: 0 }),
})

export const scenarioSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9-]{1,60}$/),
  title: z.string().max(400),
  blockTokens: z.int().min(16).max(512).default(64),
  world: worldSchema,
  workload: z.discriminatedUnion('kind', [
    sharedPrefixSchema,
    traceSchema,
    conversationsSchema,
    burstsSchema,
  ]),
  policies: z.array(z.string().min(1).max(80)).min(1).max(40),
  baseline: z.string().max(80).optional().describe('The policy that gains are told against'),
  variants: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(60),
        /** By dotted path. */
        set: z.record(z.string(), z.unknown()).default({}),
      }),
    )
    .max(60)
    .default([]),
  horizonS: z
    .number()
    .positive()
    .max(1_000_000)
    .default(20_000)
    .describe('What is not served by then is lost'),
  headline: z
    .array(z.string().max(40))
    .default([])
    .describe('Labels of the requests that the table is about'),
  windows: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(60),
        fromS: z.number().nonnegative(),
        untilS: z.number().positive(),
      }),
    )
    .max(20)
    .default([])
    .describe('Parts of the run that are told by themselves, by when requests were sent'),
  kneeMs: z.number().positive().default(3000).describe('p90 TTFT at the knee'),
})
export type Scenario = z.infer<typeof scenarioSchema>

/** Throws an error with one line for each field that is wrong. */
export function parseScenario(json: unknown, source: string): Scenario {
  const parsed = scenarioSchema.safeParse(json)
  if (parsed.success) return parsed.data
  const lines = parsed.error.issues.map(
    ({ path, message }) => `  ${path.map(String).join('.') || '(whole file)'}: ${message}`,
  )
  throw new Error(`${source} is no scenario:\n${lines.join('\n')}`)
}

/** The scenario of one variant: its raw form with some fields set, parsed again. */
export function withVariant(
  raw: unknown,
  variant: { readonly name: string; readonly set: Readonly<Record<string, unknown>> },
  source: string,
): Scenario {
  const copy = structuredCloneOf(raw)
  for (const [path, value] of Object.entries(variant.set)) setPath(copy, path.split('.'), value)
  return parseScenario(copy, `${source}, variant ${variant.name},`)
}

function structuredCloneOf(raw: unknown): unknown {
  return JSON.parse(JSON.stringify(raw))
}

function setPath(target: unknown, path: readonly string[], value: unknown): void {
  let at = target as Record<string, unknown>
  for (const key of path.slice(0, -1)) {
    if (!Object.hasOwn(at, key)) at[key] = {}
    at = at[key] as Record<string, unknown>
  }
  const last = path.at(-1)
  if (last !== undefined) at[last] = value
}
