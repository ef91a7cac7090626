/**
 * What the edge and its directories cost on Cloudflare's paid plan. Prices are those of late 2026 (developers.cloudflare.com,
 * Workers and Durable Objects pricing); quantities follow from the protocol's own intervals.
 */
import { writeFile } from 'node:fs/promises'
import { DELTA_INTERVAL_MS, HEARTBEAT_INTERVAL_MS } from '../protocol/report.ts'

export interface CostOptions {
  readonly regions: number
  readonly clusters: number
  readonly requestsPerS: number
  readonly shards: number
  readonly markdown?: string
}

const SECONDS_A_MONTH = 30 * 24 * 3600
const M = 1e6
/** USD. */
const PLAN = 5
const WORKER_REQUEST = { included: 10 * M, usdPerM: 0.3 }
const WORKER_CPU_MS = { included: 30 * M, usdPerM: 0.02 }
const OBJECT_REQUEST = { included: 1 * M, usdPerM: 0.15 }
const OBJECT_GB_S = { included: 400_000, usdPerM: 12.5 }
/** Incoming WebSocket messages are billed 20 to 1; outgoing ones are free. */
const MESSAGES_A_REQUEST = 20
/** An object is billed at 128 MB for as long as it is in memory, which reports keep it. */
const OBJECT_GB = 0.128
/** A request at the edge with one lookup, as the platform's own examples have it. */
const CPU_MS_A_REQUEST = 3
const LAYOUT_QUESTIONS_PER_S = 1 / 30
/** Outcomes go out with each tick that has any: at most one message an interval, a batch for each tenant's ledger. */
const OUTCOME_BATCH_MS = DELTA_INTERVAL_MS

export interface CostLine {
  readonly what: string
  readonly formula: string
  readonly quantity: number
  readonly included: number
  readonly usd: number
}

export function costLines({ regions, clusters, requestsPerS, shards }: CostOptions): CostLine[] {
  const requests = requestsPerS * SECONDS_A_MONTH
  const streams = regions * clusters * shards
  const layouts = regions * clusters * LAYOUT_QUESTIONS_PER_S * SECONDS_A_MONTH
  const messagesPerS =
    streams * (1000 / HEARTBEAT_INTERVAL_MS + 1000 / DELTA_INTERVAL_MS) +
    Math.min(regions * clusters * (1000 / OUTCOME_BATCH_MS), requestsPerS)
  const messages = (messagesPerS * SECONDS_A_MONTH) / MESSAGES_A_REQUEST
  const objects = regions * shards
  const gbS = objects * OBJECT_GB * SECONDS_A_MONTH
  return [
    line(
      'Worker requests',
      `${requestsPerS}/s + layouts of ${regions} x ${clusters} agents`,
      requests + layouts,
      WORKER_REQUEST,
    ),
    line('Worker CPU, ms', `${CPU_MS_A_REQUEST} ms a request`, requests * CPU_MS_A_REQUEST, WORKER_CPU_MS),
    line(
      'object requests',
      'one lookup a request, reports 20:1, one outcome delivery a request',
      requests * 2 + messages,
      OBJECT_REQUEST,
    ),
    line('object duration, GB-s', `${objects} objects x ${OBJECT_GB} GB, always awake`, gbS, OBJECT_GB_S),
    line('rows written by the directory', 'none on the hot path', 0, { included: 50 * M, usdPerM: 1 }),
  ]
}

function line(
  what: string,
  formula: string,
  quantity: number,
  { included, usdPerM }: { readonly included: number; readonly usdPerM: number },
): CostLine {
  return { what, formula, quantity, included, usd: (Math.max(quantity - included, 0) / M) * usdPerM }
}

export async function benchCost(options: CostOptions): Promise<void> {
  const page = costPage(options)
  console.log(page)
  if (options.markdown) await writeFile(options.markdown, page)
}

function costPage(options: CostOptions): string {
  const { regions, clusters, requestsPerS, shards } = options
  const lines = costLines(options)
  const total = PLAN + lines.reduce((sum, { usd }) => sum + usd, 0)
  const largest = lines.toSorted((a, b) => b.usd - a.usd)[0]
  const perM = (total / ((requestsPerS * SECONDS_A_MONTH) / M)).toFixed(2)
  const rows = lines.map(
    ({ what, formula, quantity, included, usd }) =>
      `| ${what} | ${formula} | ${millions(quantity)} | ${millions(included)} | ${usd.toFixed(2)} |`,
  )
  return `# Cost

What the edge and its regional directories cost a month on Cloudflare's paid plan: ${regions} regional directories of
${shards} object${shards === 1 ? '' : 's'} each, ${clusters} clusters that report to every one of them, ${requestsPerS} requests a second in all. GPUs, tenants' ledgers
beyond one delivery a request, logs and traces are not in it. Prices: Workers and Durable Objects, paid plan, late 2026.

| meter | from | millions a month | included | USD |
|---|---|---:|---:|---:|
| plan | | | | ${PLAN.toFixed(2)} |
${rows.join('\n')}
| **total** | | | | **${total.toFixed(2)}** |

The largest line is **${largest?.what ?? ''}**. A million requests cost ${perM} USD.

    usd      = (quantity - included) / 1e6 * price of a million
    messages = (regions * clusters * shards * (1000/${HEARTBEAT_INTERVAL_MS} + 1000/${DELTA_INTERVAL_MS}) + outcomes) * seconds, of which 1 in ${MESSAGES_A_REQUEST} is billed
    duration = regions * shards * ${OBJECT_GB} GB * seconds

Deltas are counted as if something changed in every interval. Lookups that an isolate answers from its copy or asks
together with others cost less. What is never written costs nothing: 1,000 rows a second would be ${((1000 * SECONDS_A_MONTH) / M).toFixed(0)} million
rows, ${(((1000 * SECONDS_A_MONTH) / M - 50) * 1).toFixed(0)} USD, for each directory.

Computed by \`npm run bench -- cost --regions ${regions} --clusters ${clusters} --requests-per-s ${requestsPerS} --shards ${shards} --markdown docs/COST.md\`.
`
}

function millions(quantity: number): string {
  return (quantity / M).toPrecision(3)
}
