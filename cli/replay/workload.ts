/**
 * A seeded workload of the shape of Mooncake's conversation trace, for those who have no trace: Poisson arrivals,
 * sessions that come back with longer prompts, one first block that all share, long-tailed lengths.
 */
import { BLOCK_TOKENS, type TraceRequest } from './trace.ts'

export interface WorkloadOptions {
  readonly minutes: number
  readonly seed: number
}

/** Arrivals a second, as in the trace. */
const REQUESTS_PER_SECOND = 3.4
/** Share of requests that continue a session; together with the lengths it makes about a third of the input reusable. */
const CONTINUE_SHARE = 0.4
const SESSIONS_OPEN_MAX = 400
const FIRST_TOKENS_MEDIAN = 6000
const TURN_TOKENS_MEDIAN = 900
const OUTPUT_TOKENS_MEDIAN = 260
const INPUT_TOKENS_MAX = 120_000

/** Deterministic numbers in [0, 1) (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export function generateWorkload({ minutes, seed }: WorkloadOptions): TraceRequest[] {
  const random = seededRandom(seed)
  const sessions: { tokens: number; blockIds: number[] }[] = []
  const requests: TraceRequest[] = []
  let nextBlockId = 1
  let timestampMs = 0
  while ((timestampMs += (-Math.log(1 - random()) / REQUESTS_PER_SECOND) * 1000) < minutes * 60_000) {
    const continues = sessions.length > 0 && random() < CONTINUE_SHARE
    const session = continues
      ? (sessions[Math.floor(random() ** 2 * sessions.length)] as (typeof sessions)[number])
      : { tokens: 0, blockIds: [0] }
    const added = logNormal(
      random,
      continues ? TURN_TOKENS_MEDIAN : FIRST_TOKENS_MEDIAN,
      continues ? 0.9 : 1.1,
    )
    session.tokens = Math.min(session.tokens + added, INPUT_TOKENS_MAX)
    // The block that was cut short last time has other content now that it is full: a new id.
    if (continues) session.blockIds.pop()
    if (session.blockIds.length === 0) session.blockIds.push(0)
    while (session.blockIds.length * BLOCK_TOKENS < session.tokens) session.blockIds.push(nextBlockId++)
    if (!continues) sessions.unshift(session)
    if (sessions.length > SESSIONS_OPEN_MAX) sessions.pop()
    requests.push({
      timestampMs,
      inputTokens: session.tokens,
      outputTokens: Math.min(logNormal(random, OUTPUT_TOKENS_MEDIAN, 0.8), 2000),
      blockIds: [...session.blockIds],
    })
  }
  return requests
}

/** At least 1, rounded. */
function logNormal(random: () => number, median: number, sigma: number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  return Math.max(Math.round(median * Math.exp(sigma * normal)), 1)
}
