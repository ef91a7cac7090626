/**
 * Why a request went where it went: `x-isotherm-route` in short, `POST /v1/route/explain` in full.
 * The header is a list of `key=value` pairs divided by "; ", in the order of the schema, values URI-encoded.
 */
import { z } from 'zod'
import { nameSchema } from './ids.ts'

export const ROUTE_HEADER = 'x-isotherm-route'
export const REQUEST_ID_HEADER = 'x-request-id'
/** Agent -> edge: what the agent matched and chose, in the same `key=value` form. */
export const AGENT_ROUTE_HEADER = 'x-isotherm-agent-route'

/** Agent -> edge, with a 429: nothing has begun, and the edge knows a better cluster. The milliseconds that the agent predicts. */
export const ELSEWHERE_HEADER = 'x-isotherm-elsewhere'

/** Why the chosen cluster leads the plan. */
export const PLAN_REASONS = [
  'warm',
  'least-wait',
  'nearest',
  'stay',
  'replica',
  'no-directory',
  'failover',
  'redirect',
  'hedge',
  'kept',
  'override-nearest',
  'override-sticky',
  'override-random',
] as const

export const receiptSchema = z.object({
  cluster: nameSchema,
  region: nameSchema,
  /** Tokens that the directory believes are resident in the cluster. */
  matched_tokens: z.int().nonnegative(),
  prompt_tokens: z.int().nonnegative(),
  tier: z.string().max(16),
  /** Milliseconds to the first token as the plan predicts it, measured at the edge. */
  predicted_ttft_ms: z.int().nonnegative(),
  attempt: z.int().positive(),
  reason: z.enum(PLAN_REASONS),
  /** Age of the directory's knowledge of the cluster; -1 when it had none. */
  age_ms: z.int(),
})
export type Receipt = z.infer<typeof receiptSchema>
const RECEIPT_KEYS = receiptSchema.keyof().options

/** Milliseconds to the first token, split by cause. All terms add up to `totalMs`. */
export interface TtftTerms {
  readonly rttMs: number
  readonly queueMs: number
  readonly loadMs: number
  readonly prefillMs: number
  readonly handoffMs: number
  /** What the shadow price of KV space, the value of staying and money add: priced, but not waited for. */
  readonly shadowMs: number
  readonly totalMs: number
}

export function formatReceipt(receipt: Receipt): string {
  let text = ''
  for (const key of RECEIPT_KEYS) {
    const value = receipt[key]
    text += `${text === '' ? '' : '; '}${key}=${typeof value === 'string' ? encodeURIComponent(value) : value}`
  }
  return text
}

/** null when `header` is no receipt. */
export function parseReceipt(header: string): Receipt | null {
  const fields: Record<string, string | number> = {}
  for (const pair of header.split('; ', 32)) {
    const cut = pair.indexOf('=')
    if (cut < 1) return null
    const text = safeDecode(pair.slice(cut + 1))
    const number = Number(text)
    fields[pair.slice(0, cut)] = text !== '' && Number.isFinite(number) ? number : text
  }
  const parsed = receiptSchema.safeParse(fields)
  return parsed.success ? parsed.data : null
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return ''
  }
}
